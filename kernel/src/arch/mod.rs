//! Floor 1: the processor.
//!
//! The only assembly and most of the kernel's unsafe code. The surface that the floors above use is
//! re-exported here, by name; a second architecture, or a second platform (the kernel as a process), offers
//! the same names. Nothing above assumes page-table formats, ring 0, I/O ports or interrupt flags.
#![allow(unsafe_code, reason = "this floor is where unsafe code lives")]

mod x86_64;

pub use x86_64::{
    apic::{FIRST_FREE_WINDOW, SPURIOUS_VECTOR, TIMER_VECTOR, end_of_interrupt, route_line, set_timer},
    calls::{RememberedCall, last_calls},
    clock::{entry_ticks, estimated_frequency, frequencies, real_time_clock_seconds},
    context::{
        Context, Current, HasContext, Kernel, Threads, current, exit_to, prepare as prepare_context, set_current,
        switch_to,
    },
    cpu::{
        MAXIMUM_CPUS, cpu_index, frame_pointer, hardware_capabilities, last_program_registers, read_stack_frame,
        set_thread_pointer, thread_pointer,
    },
    entropy::{Quality as EntropyQuality, seed as entropy_seed},
    instructions::{
        cpuid, disable_interrupts, enable_interrupts, interrupts_enabled, read_cr2 as fault_address, read_port_u8,
        read_port_u32, read_time_stamp_counter, wait_for_interrupt, write_port_u8, write_port_u32,
    },
    layout,
    paging::{
        Activation, KeptMarks, LARGE_PAGE_FRAMES, LARGE_PAGE_SIZE, Mapping, Mark, PageTable, Rights, kernel_text,
    },
    power::off as power_off,
    serial,
    shootdown::{
        enter_idle, invalidate_elsewhere, leave_idle, serve as serve_shootdowns, shootdown_interrupts,
        synchronise_processors,
    },
    smp::{all_processors, expected_processors, interrupt_identifier, send_reschedule, stop_other_processors},
    traps::{
        Access, Exception, Handlers, LEGACY_SYSTEM_CALL, PageFault, RESCHEDULE_VECTOR, Registers, install_handlers,
        start_program,
    },
    user_access::{compare_exchange_program, copy_from_program, copy_to_program, load_word, zero_program},
    vdso::image as vdso_image,
    vector_state::{VectorState, reset_vector_state, vector_features, vector_state_size},
};

/// What only the memory manager and boot use.
pub mod boot {
    pub use super::x86_64::{
        apic::initialise as initialise_interrupts,
        clock::start as start_clock,
        cpu::initialise as initialise_cpu,
        paging::{
            boot_stack, clear_frame, direct, extend_direct_map, kernel_extent, map_kernel_page, seal, unmap_kernel_page,
        },
        smp::start_processors,
    };
}
