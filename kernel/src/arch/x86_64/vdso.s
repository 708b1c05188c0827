# The vDSO: a shared object that the kernel gives every program, so that reading a clock needs no system call.
#
# The whole ELF file is written here by hand: with no relocations and seven tables, it needs no linker. It is
# data to the kernel (read-only, copied into the program's address space), so it lies in a section of data.
# Right below it in the program's address space lies the data page, which `task/vdso.rs` fills in when the
# clock has first been calibrated; until then every function falls back to the system call, which does that.
#
# Source: vdso(7); System V ABI, chapter 5 (dynamic linking); Linux's symbol versioning (LSB core, 10.7).

# The data page, from its start.
.set DATA_READY, 0
.set DATA_BASE, 8
.set DATA_MULTIPLIER, 16
.set DATA_WALL_BASE, 24
.set DATA_PAGE_SIZE, 4096

.set NANOSECONDS, 1000000000
.set NUMBER_GETTIMEOFDAY, 96
.set NUMBER_TIME, 201
.set NUMBER_CLOCK_GETTIME, 228
.set NUMBER_CLOCK_GETRES, 229
.set NUMBER_SELECTOR, 15 * 8

# Clocks by number, as sets of bits: REALTIME 0, MONOTONIC 1, MONOTONIC_RAW 4, REALTIME_COARSE 5,
# MONOTONIC_COARSE 6, BOOTTIME 7, TAI 11; and those of them that show the wall clock.
.set LAST_CLOCK, 11
.set CLOCKS, (1 << 0) | (1 << 1) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 11)
.set WALL_CLOCKS, (1 << 0) | (1 << 5) | (1 << 11)

.section .rodata.vdso, "a", @progbits
.balign 64
.global vdso_start
vdso_start:
.Lvdso:

# ELF header
    .byte 0x7f
    .ascii "ELF"
    .byte 2, 1, 1, 0                         # 64 bits, little-endian, version 1, System V
    .quad 0
    .short 3, 62                             # shared object, x86-64
    .long 1
    .quad 0                                  # no entry point
    .quad .Lprogram_headers - .Lvdso
    .quad 0                                  # no sections
    .long 0
    .short 64, 56, 2, 0, 0, 0

.Lprogram_headers:
    .long 1, 5                               # PT_LOAD, readable and executable
    .quad 0, 0, 0
    .quad .Lvdso_end - .Lvdso, .Lvdso_end - .Lvdso
    .quad 4096
    .long 2, 4                               # PT_DYNAMIC, readable
    .quad .Ldynamic - .Lvdso, .Ldynamic - .Lvdso, .Ldynamic - .Lvdso
    .quad .Ldynamic_end - .Ldynamic, .Ldynamic_end - .Ldynamic
    .quad 8

.Ldynamic:
    .quad 14, .Lname_object - .Lstrings      # DT_SONAME
    .quad 4, .Lhash - .Lvdso                 # DT_HASH
    .quad 5, .Lstrings - .Lvdso              # DT_STRTAB
    .quad 10, .Lstrings_end - .Lstrings      # DT_STRSZ
    .quad 6, .Lsymbols - .Lvdso              # DT_SYMTAB
    .quad 11, 24                             # DT_SYMENT
    .quad 0x6ffffff0, .Lversions - .Lvdso    # DT_VERSYM
    .quad 0x6ffffffc, .Ldefinitions - .Lvdso # DT_VERDEF
    .quad 0x6ffffffd, 2                      # DT_VERDEFNUM
    .quad 0, 0
.Ldynamic_end:

# A function that is exported: global, in a section that is not "undefined".
.macro SYMBOL name, function
    .long .L\name - .Lstrings
    .byte 0x12, 0
    .short 1
    .quad .L\function - .Lvdso
    .quad .L\function\()_end - .L\function
.endm

.Lsymbols:
    .quad 0, 0, 0
    SYMBOL name_clock_gettime, clock_gettime
    SYMBOL name_gettimeofday, gettimeofday
    SYMBOL name_time, time
    SYMBOL name_getcpu, getcpu
    SYMBOL name_clock_getres, clock_getres
    # The version itself is a symbol too, as linkers make it.
    .long .Lname_version - .Lstrings
    .byte 0x11, 0
    .short 0xfff1
    .quad 0, 0

# One bucket, so every symbol is in it.
.Lhash:
    .long 1, 7
    .long 1
    .long 0, 2, 3, 4, 5, 6, 0

# Every symbol has version 2, the second definition.
.Lversions:
    .short 0, 2, 2, 2, 2, 2, 2
    .balign 8

.Ldefinitions:
    .short 1, 1, 1, 1                        # the object itself
    .long 0x0deebfa1                         # hash of its name
    .long 20, 28
    .long .Lname_object - .Lstrings, 0
    .short 1, 0, 2, 1                        # LINUX_2.6
    .long 0x03ae75f6
    .long 20, 0
    .long .Lname_version - .Lstrings, 0

.Lstrings:
    .byte 0
.Lname_object:
    .asciz "linux-vdso.so.1"
.Lname_version:
    .asciz "LINUX_2.6"
.Lname_clock_gettime:
    .asciz "__vdso_clock_gettime"
.Lname_gettimeofday:
    .asciz "__vdso_gettimeofday"
.Lname_time:
    .asciz "__vdso_time"
.Lname_getcpu:
    .asciz "__vdso_getcpu"
.Lname_clock_getres:
    .asciz "__vdso_clock_getres"
.Lstrings_end:

# rax: nanoseconds of the monotonic clock. Changes rdx. `lfence` keeps the counter from being read early.
.macro READ_CLOCK
    lfence
    rdtsc
    shl rdx, 32
    or rax, rdx
    xor edx, edx
    sub rax, [rip + .Lvdso - DATA_PAGE_SIZE + DATA_BASE]
    cmovb rax, rdx
    mul qword ptr [rip + .Lvdso - DATA_PAGE_SIZE + DATA_MULTIPLIER]
    shrd rax, rdx, 32
.endm

# rax: seconds, rdx: nanoseconds of what was in rax. Changes rcx.
.macro SPLIT_SECONDS
    xor edx, edx
    mov ecx, NANOSECONDS
    div rcx
.endm

.macro FALL_BACK number
    mov eax, \number
    syscall
    ret
.endm

    .balign 64
# clock_gettime(clock: edi, time: rsi)
.Lclock_gettime:
    cmp edi, LAST_CLOCK
    ja 9f
    mov eax, CLOCKS
    bt eax, edi
    jnc 9f
    cmp dword ptr [rip + .Lvdso - DATA_PAGE_SIZE + DATA_READY], 0
    je 9f
    READ_CLOCK
    mov ecx, WALL_CLOCKS
    bt ecx, edi
    jnc 1f
    add rax, [rip + .Lvdso - DATA_PAGE_SIZE + DATA_WALL_BASE]
1:
    SPLIT_SECONDS
    mov [rsi], rax
    mov [rsi + 8], rdx
    xor eax, eax
    ret
9:
    FALL_BACK NUMBER_CLOCK_GETTIME
.Lclock_gettime_end:

    .balign 16
# clock_getres(clock: edi, resolution: rsi): a nanosecond.
.Lclock_getres:
    cmp edi, LAST_CLOCK
    ja 9f
    mov eax, CLOCKS
    bt eax, edi
    jnc 9f
    test rsi, rsi
    jz 1f
    mov qword ptr [rsi], 0
    mov qword ptr [rsi + 8], 1
1:
    xor eax, eax
    ret
9:
    FALL_BACK NUMBER_CLOCK_GETRES
.Lclock_getres_end:

    .balign 16
# gettimeofday(time: rdi, zone: rsi); both may be null.
.Lgettimeofday:
    cmp dword ptr [rip + .Lvdso - DATA_PAGE_SIZE + DATA_READY], 0
    je 9f
    test rdi, rdi
    jz 1f
    READ_CLOCK
    add rax, [rip + .Lvdso - DATA_PAGE_SIZE + DATA_WALL_BASE]
    SPLIT_SECONDS
    mov [rdi], rax
    mov eax, edx
    xor edx, edx
    mov ecx, 1000
    div ecx
    mov [rdi + 8], rax
1:
    test rsi, rsi
    jz 2f
    mov qword ptr [rsi], 0
2:
    xor eax, eax
    ret
9:
    FALL_BACK NUMBER_GETTIMEOFDAY
.Lgettimeofday_end:

    .balign 16
# time(location: rdi) -> seconds
.Ltime:
    cmp dword ptr [rip + .Lvdso - DATA_PAGE_SIZE + DATA_READY], 0
    je 9f
    READ_CLOCK
    add rax, [rip + .Lvdso - DATA_PAGE_SIZE + DATA_WALL_BASE]
    SPLIT_SECONDS
    test rdi, rdi
    jz 1f
    mov [rdi], rax
1:
    ret
9:
    FALL_BACK NUMBER_TIME
.Ltime_end:

    .balign 16
# getcpu(cpu: rdi, node: rsi, unused). The limit of a segment is the number of the processor (`descriptors.rs`).
.Lgetcpu:
    test rdi, rdi
    jz 1f
    mov eax, NUMBER_SELECTOR
    lsl eax, eax
    mov dword ptr [rdi], eax
1:
    test rsi, rsi
    jz 2f
    mov dword ptr [rsi], 0
2:
    xor eax, eax
    ret
.Lgetcpu_end:

.Lvdso_end:
.global vdso_end
vdso_end:
