//! The vDSO as bytes; what it is and how it is made says `vdso.s`.

core::arch::global_asm!(include_str!("vdso.s"));

unsafe extern "C" {
    static vdso_start: u8;
    static vdso_end: u8;
}

/// The ELF file that programs find through `AT_SYSINFO_EHDR`.
pub fn image() -> &'static [u8] {
    let start = &raw const vdso_start;
    let end = &raw const vdso_end;
    // SAFETY: both symbols delimit one run of read-only bytes, made by `vdso.s`.
    unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
}
