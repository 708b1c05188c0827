# Every way into the kernel: exceptions, interrupts and the `syscall` instruction.
#
# The program runs at ring 0 like the kernel, and its red zone lies below its stack pointer. So nothing may
# be pushed where it was interrupted: every vector enters on an interrupt stack (IST). The frame is then
# moved to the thread's kernel stack (which is empty when the program was interrupted, and continues below
# the interrupted stack pointer when the kernel was), so that handlers may sleep, fault and nest.
#
# Per-CPU fields, through gs:
.set CPU_KERNEL_STACK_TOP, 8
.set CPU_KERNEL_STACK_LIMIT, 16
.set CPU_PROGRAM_STACK, 24

# struct Registers, see traps.rs.
.set REGISTERS_SIZE, 22 * 8
.set REGISTERS_RIP, 17 * 8
.set REGISTERS_RSP, 20 * 8

.set CODE_SELECTOR, 8
.set DATA_SELECTOR, 16

.macro PUSH_GENERAL
    push rdi
    push rsi
    push rdx
    push rcx
    push rax
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
.endm

.macro POP_GENERAL
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rax
    pop rcx
    pop rdx
    pop rsi
    pop rdi
.endm

.section .text.traps, "ax", @progbits
.code64

# One stub of 16 bytes per vector. Vectors 8, 10-14, 17, 21, 29 and 30 come with an error code.
.balign 16
.global trap_stubs
trap_stubs:
.set vector, 0
.rept 256
    .balign 16
    .if (vector == 8)
        push vector
        jmp trap_double_fault
    .elseif ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
        push vector
        jmp trap_with_code
    .else
        push 0
        push vector
        .if (vector == 2) || (vector == 18)
            jmp trap_critical
        .else
            jmp trap_common
        .endif
    .endif
    .set vector, vector + 1
.endr

# `int n` of a program, which at ring 0 arrives like the exception but without its error code: the stack, whose top is
# aligned to 16 bytes, tells that. It becomes what it is at ring 3, general protection at the instruction itself.
.macro UNLESS_PRETENDED target
    test spl, 8
    jnz \target
    push [rsp]
    shl qword ptr [rsp + 8], 3
    or qword ptr [rsp + 8], 2
    mov qword ptr [rsp], 13
    sub qword ptr [rsp + 16], 2
.endm

trap_double_fault:
    UNLESS_PRETENDED trap_critical
    jmp trap_common

trap_with_code:
    UNLESS_PRETENDED trap_common

trap_common:
    PUSH_GENERAL
    cld
    # The kernel's half begins at 0xffff800000000000; what is not canonical is a program's (`Registers::is_program`).
    mov rax, [rsp + REGISTERS_RIP]
    sar rax, 47
    inc rax
    jz .Lkernel_interrupted
.Lprogram_interrupted:
    mov rdi, gs:[CPU_KERNEL_STACK_TOP]
    jmp .Lmove_frame
.Lkernel_interrupted:
    mov rdi, [rsp + REGISTERS_RSP]
    mov rax, rdi
    sar rax, 47
    inc rax
    jnz .Lprogram_interrupted                 # a program that jumped to where it must not
    cmp rdi, gs:[CPU_KERNEL_STACK_TOP]
    ja .Ldispatch
    cmp rdi, gs:[CPU_KERNEL_STACK_LIMIT]      # no room: the handler will say so, from here
    jb .Ldispatch
    and rdi, -16
.Lmove_frame:
    sub rdi, REGISTERS_SIZE
    mov rsi, rsp
    mov rdx, rdi
    mov ecx, 22
    rep movsq
    mov rsp, rdx
.Ldispatch:
    mov rdi, rsp
    mov rbx, rsp
    and rsp, -16
    call trap_entry
    mov rsp, rbx
.global trap_return
trap_return:
    POP_GENERAL
    add rsp, 16
    iretq

# Not maskable, double fault, machine check: stay on the stack of their own.
trap_critical:
    PUSH_GENERAL
    cld
    mov rdi, rsp
    mov rbx, rsp
    and rsp, -16
    call trap_entry
    mov rsp, rbx
    POP_GENERAL
    add rsp, 16
    iretq

# `syscall` loads cs, ss and rip, puts the old rip into rcx and the old flags into r11, and masks flags.
.balign 16
.global system_call_entry
system_call_entry:
    mov gs:[CPU_PROGRAM_STACK], rsp
    mov rsp, gs:[CPU_KERNEL_STACK_TOP]
    push DATA_SELECTOR
    push gs:[CPU_PROGRAM_STACK]
    push r11
    push CODE_SELECTOR
    push rcx
    push 0
    push rax
    PUSH_GENERAL
    mov rdi, rsp
    mov rbx, rsp
    xor ebp, ebp                             # the end of the chain of kernel frames
    call system_call_dispatch                # interrupts are off again when it returns
    mov rsp, rbx
    test al, al
    jnz trap_return                          # the registers were replaced as a whole
    POP_GENERAL
    # The arithmetic flags, without the slow `popfq` (other flags than these take the way above): overflow by
    # an addition that overflows if the bit was set, the rest by `sahf`, which leaves overflow alone.
    mov r11, rax
    mov rax, [rsp + 4 * 8]
    bt eax, 11
    mov ah, al
    setc al
    add al, 0x7f
    sahf
    mov rax, r11
    mov rcx, [rsp + 2 * 8]
    mov rsp, [rsp + 5 * 8]
    # `sti` holds interrupts off for one more instruction, so none can come between the last check for work and
    # the program's next instruction.
    sti
    jmp rcx

# enter_program(registers: *const Registers) -> !
.global enter_program
enter_program:
    mov rsp, rdi
    jmp trap_return

# load_word(address: rdi, value: *mut u32 rsi) -> rax: 0, or 1 if the address could not be read.
.global load_word_with_recovery
load_word_with_recovery:
.Lload_word:
    mov eax, [rdi]
    mov [rsi], eax
    xor eax, eax
    ret
.Lload_word_fault:
    mov eax, 1
    ret

# compare_exchange(address: rdi, expected: *mut u32 rsi, new: edx) -> rax: 0, or 1 if the word could not be written.
.global compare_exchange_with_recovery
compare_exchange_with_recovery:
    mov eax, [rsi]
.Lcompare_exchange:
    lock cmpxchg [rdi], edx
    mov [rsi], eax
    xor eax, eax
    ret
.Lcompare_exchange_fault:
    mov eax, 1
    ret

.section .exception_table, "a", @progbits
    .quad .Lload_word, .Lload_word_fault
    .quad .Lcompare_exchange, .Lcompare_exchange_fault
