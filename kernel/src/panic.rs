//! The end of a kernel that found a defect in itself: say everything that helps, then stop.
//!
//! Nothing here allocates before the text is out, and every lock is only tried.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch::{self, Registers};
use crate::{devices, syscalls};

static PANICKING: AtomicBool = AtomicBool::new(false);

struct Text;

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        devices::console::panic_text(text);
        Ok(())
    }
}

fn say(text: fmt::Arguments<'_>) {
    // `Text` never fails.
    let _ = Text.write_fmt(text);
    let _ = Text.write_str("\n");
}

/// A trap that nothing can repair.
pub fn fatal_trap(registers: &Registers, name: &'static str) -> ! {
    enter();
    say(format_args!(
        "kernel panic: {name} at {:#018x}, error code {:#x}",
        registers.rip, registers.error_code
    ));
    print_registers(registers);
    backtrace(registers.rip, registers.rbp);
    crate::boot::finish_in_panic()
}

/// The start of a text, for looking at a message that can't be stored.
struct Start([u8; 20], usize);

impl Write for Start {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if let Some(place) = self.0.get_mut(self.1) {
                *place = byte;
                self.1 += 1;
            }
        }
        Ok(())
    }
}

/// Whether this is what the standard library says when an allocation that can't fail has failed.
fn is_failed_allocation(information: &PanicInfo<'_>) -> bool {
    const SAID: &[u8] = b"memory allocation of";
    let mut start = Start([0; 20], 0);
    let _ = write!(start, "{}", information.message());
    start.0 == SAID
}

#[panic_handler]
fn panic(information: &PanicInfo<'_>) -> ! {
    enter();
    if is_failed_allocation(information) {
        // No defect: the program has driven the kernel out of memory, which Linux answers by killing it as well.
        say(format_args!("{}", information.message()));
        crate::boot::kill_without_memory()
    }
    match information.location() {
        Some(place) => say(format_args!(
            "kernel panic at {}:{}: {}",
            place.file(),
            place.line(),
            information.message()
        )),
        None => say(format_args!("kernel panic: {}", information.message())),
    }
    if let Some(registers) = arch::last_program_registers() {
        say(format_args!("registers with which the program entered the kernel:"));
        print_registers(&registers);
    }
    backtrace(0, arch::frame_pointer());
    crate::boot::finish_in_panic()
}

fn enter() {
    arch::disable_interrupts();
    if PANICKING.swap(true, Ordering::SeqCst) {
        arch::serial::print_early(format_args!("panic while panicking\n"));
        arch::power_off();
    }
    arch::stop_other_processors();
}

fn print_registers(registers: &Registers) {
    let r = registers;
    say(format_args!(
        "  rax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}",
        r.rax, r.rbx, r.rcx, r.rdx
    ));
    say(format_args!(
        "  rsi {:016x}  rdi {:016x}  rbp {:016x}  rsp {:016x}",
        r.rsi, r.rdi, r.rbp, r.rsp
    ));
    say(format_args!(
        "  r8  {:016x}  r9  {:016x}  r10 {:016x}  r11 {:016x}",
        r.r8, r.r9, r.r10, r.r11
    ));
    say(format_args!(
        "  r12 {:016x}  r13 {:016x}  r14 {:016x}  r15 {:016x}",
        r.r12, r.r13, r.r14, r.r15
    ));
    say(format_args!(
        "  rip {:016x}  flags {:08x}  cr2 {:016x}",
        r.rip,
        r.rflags,
        arch::fault_address()
    ));
}

/// Prints return addresses along the chain of frame pointers; the monitor adds the names of functions.
fn backtrace(instruction: u64, mut frame: u64) {
    say(format_args!("backtrace:"));
    if instruction != 0 {
        say(format_args!("  at {instruction:#018x}"));
    }
    let (text_start, text_end) = arch::kernel_text();
    for _ in 0..48 {
        let Some((previous, address)) = arch::read_stack_frame(frame) else {
            break;
        };
        if !(text_start..text_end).contains(&address) {
            break;
        }
        say(format_args!("  at {address:#018x}"));
        if previous <= frame {
            break;
        }
        frame = previous;
    }
    last_calls();
}

/// How many calls of other processors are shown: what they are doing, and how they came there.
const SHOWN_OF_OTHERS: usize = 3;

fn last_calls() {
    let own = arch::cpu_index();
    for cpu in [own]
        .into_iter()
        .chain((0..arch::MAXIMUM_CPUS).filter(|&cpu| cpu != own))
    {
        let Some(calls) = syscalls::last_calls(cpu) else {
            continue;
        };
        let hidden = if cpu == own {
            say(format_args!("last system calls, oldest first:"));
            0
        } else {
            say(format_args!("of processor {cpu}:"));
            calls.len().saturating_sub(SHOWN_OF_OTHERS)
        };
        for call in calls.skip(hidden) {
            say(format_args!("  {call}"));
        }
    }
}
