/* Floating point: libm, rounding, and values that live in registers across system calls. */
#include "check.h"
#include <fenv.h>
#include <math.h>
#include <unistd.h>

int main(void) {
    volatile double x = 0.5;
    printf("%.10g %.10g %.10g %.10g\n", sin(x), exp(x), pow(x, 3.7), log1p(x));
    printf("%.10g %.10Lg\n", tgamma(x), (long double)x / 3);
    volatile double one = 1, three = 3;
    int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    for (int i = 0; i < 4; i++) {
        fesetround(modes[i]);
        getppid();
        printf("%a\n", one / three);
    }
    fesetround(FE_TONEAREST);
    double sum = 0;
    for (int i = 1; i <= 20000; i++) {
        sum += 1.0 / i;
        if (i % 100 == 0)
            getppid();
    }
    printf("%.12f\n", sum);
    feclearexcept(FE_ALL_EXCEPT);
    volatile double zero = 0;
    volatile double infinite = one / zero;
    CHECK(isinf(infinite) && fetestexcept(FE_DIVBYZERO));
    return 0;
}
