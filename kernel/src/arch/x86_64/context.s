# Switching between threads.

# switch_stacks(stack: *mut u64 rdi, next: u64 rsi, loaded: *mut u8 rdx): stores the stack pointer, goes to the other
# stack, and only then lets others know that nobody is on the old one any more. Interrupts are off.
.section .text.context, "ax", @progbits
.code64
.balign 16
.global switch_stacks
switch_stacks:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rdi], rsp
    mov rsp, rsi
    mov byte ptr [rdx], 0
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret

# Where a new thread starts, by the `ret` above: its registers lie at the top of its stack.
.balign 16
.global start_context
start_context:
    mov rdi, rbx                             # its first function
    mov rsi, rsp
    xor ebp, ebp                             # the end of the chain of kernel frames
    call context_started
    jmp trap_return
