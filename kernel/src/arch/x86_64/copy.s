# Copying and filling memory.
#
# No vector registers: they are the program's. Short lengths are moved by pairs of words that may overlap, longer ones 32
# bytes at a time, and long ones 128, so that counting takes less than moving. From STRING_LENGTH bytes on string instructions are used, which are faster there on processors that say
# so (and slow in QEMU's translator, which runs them element by element).
#
# The compiler calls memcpy, memmove and memset by these names. The other two survive faults on either side.

# An instruction that may fault: then the kernel goes on at `target`.
.macro OR_ELSE target, instruction:vararg
    .pushsection .exception_table, "a", @progbits
    .quad 9f, \target
    .popsection
9:  \instruction
.endm

# 32 bytes at an offset.
.macro MOVE offset
    mov rcx, [rsi + \offset]
    mov r8, [rsi + \offset + 8]
    mov r9, [rsi + \offset + 16]
    mov r10, [rsi + \offset + 24]
    mov [rdi + \offset], rcx
    mov [rdi + \offset + 8], r8
    mov [rdi + \offset + 16], r9
    mov [rdi + \offset + 24], r10
.endm

# The same if either side may fault.
.macro MOVE_OR_ELSE target, offset
    OR_ELSE \target, mov rcx, [rsi + \offset]
    OR_ELSE \target, mov r8, [rsi + \offset + 8]
    OR_ELSE \target, mov r9, [rsi + \offset + 16]
    OR_ELSE \target, mov r10, [rsi + \offset + 24]
    OR_ELSE \target, mov [rdi + \offset], rcx
    OR_ELSE \target, mov [rdi + \offset + 8], r8
    OR_ELSE \target, mov [rdi + \offset + 16], r9
    OR_ELSE \target, mov [rdi + \offset + 24], r10
.endm

.section .text.copy, "ax", @progbits

# memcpy(destination: rdi, source: rsi, length: rdx) -> rax: destination
.balign 32
.global memcpy
memcpy:
    mov rax, rdi
    cmp rdx, 32
    ja .Lforward
# Up to 32 bytes: everything is read before anything is written, so that the two may overlap.
.Llast:
    cmp edx, 16
    jb .Llast_short
    mov rcx, [rsi]
    mov r8, [rsi + 8]
    mov r9, [rsi + rdx - 16]
    mov r10, [rsi + rdx - 8]
    mov [rdi], rcx
    mov [rdi + 8], r8
    mov [rdi + rdx - 16], r9
    mov [rdi + rdx - 8], r10
    ret
.Llast_short:
    cmp edx, 8
    jb .Llast_word
    mov rcx, [rsi]
    mov r8, [rsi + rdx - 8]
    mov [rdi], rcx
    mov [rdi + rdx - 8], r8
    ret
.Llast_word:
    cmp edx, 4
    jb .Llast_bytes
    mov ecx, [rsi]
    mov r8d, [rsi + rdx - 4]
    mov [rdi], ecx
    mov [rdi + rdx - 4], r8d
    ret
.Llast_bytes:
    test edx, edx
    jz .Llast_none
    mov r9d, edx
    shr r9d, 1
    movzx ecx, byte ptr [rsi]                # the first, the one in the middle, the last: for three bytes all
    movzx r8d, byte ptr [rsi + r9]
    movzx r10d, byte ptr [rsi + rdx - 1]
    mov [rdi], cl
    mov [rdi + r9], r8b
    mov [rdi + rdx - 1], r10b
.Llast_none:
    ret

# More than 32 bytes, from the start to the end.
.Lforward:
    cmp rdx, [rip + STRING_LENGTH]
    jae .Lforward_string
    cmp rdx, 160
    jbe .Lforward_next
.Lforward_large:
    MOVE 0
    MOVE 32
    MOVE 64
    MOVE 96
    add rsi, 128
    add rdi, 128
    sub rdx, 128
    cmp rdx, 160
    ja .Lforward_large
.Lforward_next:
    MOVE 0
    add rsi, 32
    add rdi, 32
    sub rdx, 32
    cmp rdx, 32
    ja .Lforward_next
    jmp .Llast
.Lforward_string:
    mov rcx, rdx
    rep movsb
    ret

# memmove(destination: rdi, source: rsi, length: rdx) -> rax: destination
.balign 16
.global memmove
memmove:
    mov rax, rdi
    cmp rdx, 32
    jbe .Llast
    mov rcx, rdi
    sub rcx, rsi
    cmp rcx, rdx
    jae .Lforward                            # the destination does not begin inside of the source
# From the end to the start.
.Lbackward_next:
    mov rcx, [rsi + rdx - 8]
    mov r8, [rsi + rdx - 16]
    mov r9, [rsi + rdx - 24]
    mov r10, [rsi + rdx - 32]
    mov [rdi + rdx - 8], rcx
    mov [rdi + rdx - 16], r8
    mov [rdi + rdx - 24], r9
    mov [rdi + rdx - 32], r10
    sub rdx, 32
    cmp rdx, 32
    ja .Lbackward_next
    jmp .Llast

# memset(destination: rdi, byte: sil, length: rdx) -> rax: destination
.balign 16
.global memset
memset:
    mov r8, rdi
    movzx eax, sil
    mov rcx, 0x0101010101010101
    imul rax, rcx
    cmp rdx, 32
    ja .Lfill
.Lfill_last:
    cmp edx, 16
    jb .Lfill_short
    mov [rdi], rax
    mov [rdi + 8], rax
    mov [rdi + rdx - 16], rax
    mov [rdi + rdx - 8], rax
    mov rax, r8
    ret
.Lfill_short:
    cmp edx, 8
    jb .Lfill_word
    mov [rdi], rax
    mov [rdi + rdx - 8], rax
    mov rax, r8
    ret
.Lfill_word:
    cmp edx, 4
    jb .Lfill_bytes
    mov [rdi], eax
    mov [rdi + rdx - 4], eax
    mov rax, r8
    ret
.Lfill_bytes:
    test edx, edx
    jz .Lfill_none
    mov ecx, edx
    shr ecx, 1
    mov [rdi], al
    mov [rdi + rcx], al
    mov [rdi + rdx - 1], al
.Lfill_none:
    mov rax, r8
    ret
.Lfill:
    cmp rdx, [rip + STRING_LENGTH]
    jae .Lfill_string
.Lfill_next:
    mov [rdi], rax
    mov [rdi + 8], rax
    mov [rdi + 16], rax
    mov [rdi + 24], rax
    add rdi, 32
    sub rdx, 32
    cmp rdx, 32
    ja .Lfill_next
    jmp .Lfill_last
.Lfill_string:
    mov rcx, rdx
    rep stosb
    mov rax, r8
    ret

# copy(destination: rdi, source: rsi, length: rdx) -> rax: bytes not copied. Either side may fault.
#
# A fault in the middle of a step goes on with single bytes from where the step began, up to the one that can't be copied.
.balign 32
.global copy_with_recovery
copy_with_recovery:
    cmp rdx, 32
    jbe .Lcopy_last
    cmp rdx, [rip + STRING_LENGTH]
    jae .Lcopy_string
    cmp rdx, 160
    jbe .Lcopy_next
.Lcopy_large:
    MOVE_OR_ELSE .Lcopy_bytes, 0
    MOVE_OR_ELSE .Lcopy_bytes, 32
    MOVE_OR_ELSE .Lcopy_bytes, 64
    MOVE_OR_ELSE .Lcopy_bytes, 96
    add rsi, 128
    add rdi, 128
    sub rdx, 128
    cmp rdx, 160
    ja .Lcopy_large
.Lcopy_next:
    MOVE_OR_ELSE .Lcopy_bytes, 0
    add rsi, 32
    add rdi, 32
    sub rdx, 32
    cmp rdx, 32
    ja .Lcopy_next
.Lcopy_last:
    cmp edx, 16
    jb .Lcopy_short
    OR_ELSE .Lcopy_bytes, mov rcx, [rsi]
    OR_ELSE .Lcopy_bytes, mov r8, [rsi + 8]
    OR_ELSE .Lcopy_bytes, mov r9, [rsi + rdx - 16]
    OR_ELSE .Lcopy_bytes, mov r10, [rsi + rdx - 8]
    OR_ELSE .Lcopy_bytes, mov [rdi], rcx
    OR_ELSE .Lcopy_bytes, mov [rdi + 8], r8
    OR_ELSE .Lcopy_bytes, mov [rdi + rdx - 16], r9
    OR_ELSE .Lcopy_bytes, mov [rdi + rdx - 8], r10
    xor eax, eax
    ret
.Lcopy_short:
    cmp edx, 8
    jb .Lcopy_word
    OR_ELSE .Lcopy_bytes, mov rcx, [rsi]
    OR_ELSE .Lcopy_bytes, mov r8, [rsi + rdx - 8]
    OR_ELSE .Lcopy_bytes, mov [rdi], rcx
    OR_ELSE .Lcopy_bytes, mov [rdi + rdx - 8], r8
    xor eax, eax
    ret
.Lcopy_word:
    cmp edx, 4
    jb .Lcopy_bytes
    OR_ELSE .Lcopy_bytes, mov ecx, [rsi]
    OR_ELSE .Lcopy_bytes, mov r8d, [rsi + rdx - 4]
    OR_ELSE .Lcopy_bytes, mov [rdi], ecx
    OR_ELSE .Lcopy_bytes, mov [rdi + rdx - 4], r8d
    xor eax, eax
    ret
.Lcopy_bytes:
    test rdx, rdx
    jz .Lcopy_end
.Lcopy_byte:
    OR_ELSE .Lcopy_end, mov cl, [rsi]
    OR_ELSE .Lcopy_end, mov [rdi], cl
    inc rsi
    inc rdi
    dec rdx
    jnz .Lcopy_byte
.Lcopy_end:
    mov rax, rdx
    ret
.Lcopy_string:
    mov rcx, rdx
    OR_ELSE .Lcopy_string_end, rep movsb
.Lcopy_string_end:
    mov rax, rcx
    ret

# fill(destination: rdi, length: rsi) -> rax: bytes not zeroed.
.balign 16
.global zero_with_recovery
zero_with_recovery:
    xor eax, eax
    cmp rsi, 32
    jb .Lzero_words
    cmp rsi, [rip + STRING_LENGTH]
    jae .Lzero_string
.Lzero_next:
    OR_ELSE .Lzero_bytes, mov [rdi + 0], rax
    OR_ELSE .Lzero_bytes, mov [rdi + 8], rax
    OR_ELSE .Lzero_bytes, mov [rdi + 16], rax
    OR_ELSE .Lzero_bytes, mov [rdi + 24], rax
    add rdi, 32
    sub rsi, 32
    cmp rsi, 32
    jae .Lzero_next
.Lzero_words:
    cmp rsi, 8
    jb .Lzero_bytes
    OR_ELSE .Lzero_bytes, mov [rdi], rax
    add rdi, 8
    sub rsi, 8
    jmp .Lzero_words
.Lzero_bytes:
    test rsi, rsi
    jz .Lzero_end
.Lzero_byte:
    OR_ELSE .Lzero_end, mov [rdi], al
    inc rdi
    dec rsi
    jnz .Lzero_byte
.Lzero_end:
    mov rax, rsi
    ret
.Lzero_string:
    mov rcx, rsi
    OR_ELSE .Lzero_string_end, rep stosb
.Lzero_string_end:
    mov rax, rcx
    ret
