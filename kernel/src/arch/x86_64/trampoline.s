# How a further processor comes from its start in real mode to Rust. A copy of this page lies at TRAMPOLINE, where the
# start-up interrupt (SIPI) sends the processor; the kernel's first page table has that page at the same address.

.set TRAMPOLINE, 0x8000
.set KERNEL_BASE, 0xffffffff80000000

.section .rodata.trampoline, "a", @progbits
.balign 16
.global trampoline_start
trampoline_start:
.code16
    cli
    cld
    xor ax, ax
    mov ds, ax
    .byte 0x0f, 0x01, 0x16                   # lgdt with a 16-bit address
    .word TRAMPOLINE + .Ltrampoline_pointer - trampoline_start
    mov eax, cr0
    or eax, 1
    mov cr0, eax
    .byte 0x66, 0xea                         # a far jump with a 32-bit offset
    .long TRAMPOLINE + .Ltrampoline_protected - trampoline_start
    .word 8
.code32
.Ltrampoline_protected:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov eax, cr4
    or eax, 1 << 5                           # PAE
    mov cr4, eax
    mov eax, offset boot_page_map - KERNEL_BASE
    mov cr3, eax
    mov ecx, 0xc0000080                      # EFER
    rdmsr
    or eax, (1 << 8) | (1 << 11)             # LME, NXE
    wrmsr
    mov eax, 0x80010033                      # PG, WP, NE, ET, MP, PE
    mov cr0, eax
    .byte 0xea
    .long TRAMPOLINE + .Ltrampoline_long - trampoline_start
    .word 24
.code64
.Ltrampoline_long:
    movabs rax, offset processor_start
    jmp rax
.balign 8
.Ltrampoline_segments:
    .quad 0
    .quad 0x00cf9b000000ffff                 # 32-bit code
    .quad 0x00cf93000000ffff                 # data
    .quad 0x00af9b000000ffff                 # 64-bit code
.Ltrampoline_pointer:
    .word 31
    .long TRAMPOLINE + .Ltrampoline_segments - trampoline_start
.global trampoline_end
trampoline_end:

.section .text.trampoline, "ax", @progbits
# Still on the trampoline's segments, without a stack. Each processor takes the next number.
processor_start:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov edi, 1
    lock xadd [rip + processors_started], edi
    cmp edi, [rip + processors_expected]
    jae .Lnot_expected
    lea rax, [rip + processor_stacks]
    mov rsp, [rax + rdi * 8]
    xor ebp, ebp
    call processor_entry
.Lnot_expected:
    cli
    hlt
    jmp .Lnot_expected

.section .data.trampoline, "aw", @progbits
.balign 8
.global processors_started
processors_started: .long 0
.global processors_expected
processors_expected: .long 0
.global processor_stacks
processor_stacks: .skip 64 * 8
