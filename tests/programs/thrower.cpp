// The library: throws what the program catches, and catches what the program throws.
#include <stdexcept>
#include <string>

extern "C++" void throw_from_library(int value)
{
    throw std::runtime_error("from the library: " + std::to_string(value));
}

extern "C++" int catch_in_library(void (*thrower)())
{
    try {
        thrower();
    } catch (int value) {
        return value;
    }
    return -1;
}
