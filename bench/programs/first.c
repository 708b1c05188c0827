/*
 * Prints the time stamp counter as its first instruction found it. Under QEMU's -icount the counter counts
 * instructions since the machine was switched on. No C library: nothing runs before.
 */
static long call(long number, long first, long second, long third) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}

__attribute__((used)) static void print(unsigned long value) {
    char text[32];
    int position = sizeof text;
    text[--position] = '\n';
    do
        text[--position] = (char)('0' + value % 10);
    while (value /= 10);
    call(1, 1, (long)(text + position), (long)sizeof text - position);
    call(231, 0, 0, 0);
}

__asm__(".globl _start\n"
        "_start:\n\t"
        "rdtsc\n\t"
        "shl $32, %rdx\n\t"
        "lea (%rax,%rdx), %rdi\n\t"
        "xor %ebp, %ebp\n\t"
        "call print\n");
