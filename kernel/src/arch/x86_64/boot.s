# From the PVH entry (32-bit protected mode, paging off, ebx -> hvm_start_info) to Rust in 64-bit mode.
# Specification: Xen "x86/HVM direct boot ABI" (docs/misc/pvh).

.set KERNEL_BASE, 0xffffffff80000000

.section .note.Xen, "a", @note
.balign 4
    .long 4                          # length of the name
    .long 4                          # length of the descriptor
    .long 18                         # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_start - KERNEL_BASE

.section .boot.text, "ax", @progbits
.code32
.global pvh_start
pvh_start:
    cld
    cli
    mov esp, offset boot_stack_top - KERNEL_BASE
    mov ebp, ebx                     # hvm_start_info survives in ebp
    rdtsc
    mov dword ptr [boot_entry_ticks - KERNEL_BASE], eax
    mov dword ptr [boot_entry_ticks - KERNEL_BASE + 4], edx

    # 64-bit mode (bit 29), no-execute pages (bit 20) and sahf are the least that is supported.
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb unsupported
    mov eax, 0x80000001
    cpuid
    and edx, (1 << 29) | (1 << 20)
    cmp edx, (1 << 29) | (1 << 20)
    jne unsupported
    test ecx, 1                      # sahf in 64-bit mode: the way back from system calls
    jz unsupported

    # Four page directories of 2 MiB pages map the first 4 GiB.
    mov edi, offset boot_page_directories - KERNEL_BASE
    mov eax, 0x83                    # present, writable, large
    xor edx, edx
    mov ecx, 2048
.Lfill_directories:
    mov dword ptr [edi], eax
    mov dword ptr [edi + 4], edx
    add eax, 0x200000
    add edi, 8
    loop .Lfill_directories

    # The same directories serve the identity map, the direct map and (the first one) the kernel.
    mov edi, offset boot_direct_pointers - KERNEL_BASE
    mov eax, offset boot_page_directories - KERNEL_BASE + 3
    mov ecx, 4
.Lfill_pointers:
    mov dword ptr [edi], eax
    add eax, 4096
    add edi, 8
    loop .Lfill_pointers
    mov dword ptr [boot_kernel_pointers - KERNEL_BASE + 510 * 8], offset boot_page_directories - KERNEL_BASE + 3
    mov eax, offset boot_direct_pointers - KERNEL_BASE + 3
    mov dword ptr [boot_page_map - KERNEL_BASE], eax
    mov dword ptr [boot_page_map - KERNEL_BASE + 273 * 8], eax      # 0xffff888000000000
    mov dword ptr [boot_page_map - KERNEL_BASE + 511 * 8], offset boot_kernel_pointers - KERNEL_BASE + 3

    mov eax, offset boot_page_map - KERNEL_BASE
    mov cr3, eax
    mov eax, cr4
    or eax, 1 << 5                   # PAE
    mov cr4, eax
    mov ecx, 0xc0000080              # EFER
    rdmsr
    or eax, (1 << 8) | (1 << 11)     # LME, NXE
    wrmsr
    mov eax, 0x80010033              # PG, WP, NE, ET, MP, PE
    mov cr0, eax
    lgdt [boot_descriptor_pointer - KERNEL_BASE]
    ljmp 8, offset long_mode_low - KERNEL_BASE

unsupported:
    mov esi, offset unsupported_text - KERNEL_BASE
.Lprint_character:
    lodsb
    test al, al
    jz .Lleave
    mov dx, 0x3f8
    out dx, al
    jmp .Lprint_character
.Lleave:
    mov al, 62
    mov dx, 0xf4                     # isa-debug-exit
    out dx, al
.Lstay:
    hlt
    jmp .Lstay

.code64
long_mode_low:
    movabs rax, offset long_mode_high
    jmp rax
long_mode_high:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov eax, 16
    mov ss, eax
    movabs rsp, offset boot_stack_top
    mov edi, ebp                     # hvm_start_info (physical)
    xor ebp, ebp
    call boot_main
    ud2

.section .rodata.boot, "a", @progbits
unsupported_text:
    .asciz "pith: error: this processor has no 64-bit mode, no no-execute pages or no sahf in 64-bit mode; use another CPU model\r\n"
.balign 8
boot_descriptors:
    .quad 0
    .quad 0x00af9b000000ffff         # 64-bit code, ring 0
    .quad 0x00cf93000000ffff         # data, ring 0
boot_descriptor_pointer:
    .word 23
    .long boot_descriptors - KERNEL_BASE

.section .bss.boot, "aw", @nobits
.balign 4096
.global boot_page_map
boot_page_map: .skip 4096
.global boot_direct_pointers
boot_direct_pointers: .skip 4096
.global boot_kernel_pointers
boot_kernel_pointers: .skip 4096
.global boot_page_directories
boot_page_directories: .skip 4096 * 4
.global boot_entry_ticks
.balign 8
boot_entry_ticks: .skip 8
# A page that is taken out of the map guards the boot stack.
.balign 4096
.global boot_stack_guard
boot_stack_guard: .skip 4096
.skip 32768
.global boot_stack_top
boot_stack_top:
