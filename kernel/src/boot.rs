//! From the first Rust instruction to the program's first: what happens, in order.
#![allow(
    unsafe_code,
    reason = "boot reads what the monitor left in memory, and hands memory out"
)]

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_abi::channel::{ExitReport, MemoryReport, Outcome, Timeline};
use pith_abi::command_line as words;
use pith_abi::image::{Configuration, IMAGE_MAGIC, IMAGE_VERSION, ImageHeader, LogLevel, PAYLOAD_ALIGNMENT, User};
use pith_firmware_tables::Topology;
use pith_linux::credentials::{Credentials, Kind};
use pith_linux::signal::Signal;
use pith_network_settings::Settings;
use zerocopy::FromBytes;

use crate::arch::{self, Handlers, PageFault, Registers};
use crate::devices;
use crate::devices::command_line::{last_value, values};
use crate::fs;
use crate::memory::{self, AddressSpace, FaultError, Waiting};
use crate::net;
use crate::syscalls::{self, program};
use crate::task::{self, ExitReason, Process, memory_killer};

/// `struct hvm_start_info`, version 1 (Xen, `public/arch-x86/hvm/start_info.h`).
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    acpi_tables: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

/// `struct hvm_memmap_table_entry`.
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
struct MemoryMapEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

const START_MAGIC: u32 = 0x336e_c578;
const KIND_RAM: u32 = 1;
const MAXIMUM_REGIONS: usize = 24;

static PROGRAM_TICKS: AtomicU64 = AtomicU64::new(0);
static TOTAL_MEMORY: AtomicU64 = AtomicU64::new(0);
static UNMANAGED_MEMORY: AtomicU64 = AtomicU64::new(0);

/// Ends the machine with a message before there is a channel to report on.
fn give_up(text: core::fmt::Arguments<'_>) -> ! {
    arch::serial::print_early(format_args!("error: {text}\n"));
    arch::power_off()
}

fn read_physical<T: FromBytes>(address: u64) -> T {
    // SAFETY: the boot code has mapped the first 4 GiB, where monitors put what the start information points
    // to; any bytes are a valid `T`.
    unsafe { arch::boot::direct(address).cast::<T>().read_unaligned() }
}

/// Physical memory below 4 GiB, which the boot code has mapped, for the reader of firmware tables.
struct Physical;

impl pith_firmware_tables::Memory for Physical {
    fn read(&self, address: u64, bytes: &mut [u8]) -> bool {
        let mapped = address
            .checked_add(bytes.len() as u64)
            .is_some_and(|end| end <= 1 << 32);
        if mapped {
            for (index, byte) in bytes.iter_mut().enumerate() {
                *byte = read_physical(address + index as u64);
            }
        }
        mapped
    }
}

/// What the monitor told.
struct Machine {
    ram: [Range<u64>; MAXIMUM_REGIONS],
    count: usize,
    command_line: &'static str,
    /// Where the monitor put it.
    command_line_range: Range<u64>,
    /// Processors and interrupt controllers, or why they are not known.
    topology: Result<Topology, pith_firmware_tables::Problem>,
}

impl Machine {
    fn read(start_info: u64) -> Self {
        let info: StartInfo = read_physical(start_info);
        if info.magic != START_MAGIC || info.version < 1 || info.memory_map_entries == 0 {
            give_up(format_args!(
                "the monitor did not start this image by PVH version 1: it gave no memory map"
            ));
        }
        let mut machine = Self {
            ram: [const { 0..0 }; MAXIMUM_REGIONS],
            count: 0,
            command_line: "",
            command_line_range: 0..0,
            topology: Err(pith_firmware_tables::Problem::Missing),
        };
        for index in 0..u64::from(info.memory_map_entries) {
            let entry: MemoryMapEntry = read_physical(info.memory_map + index * size_of::<MemoryMapEntry>() as u64);
            if entry.kind == KIND_RAM && entry.size != 0 && machine.count < MAXIMUM_REGIONS {
                let end = entry
                    .address
                    .saturating_add(entry.size)
                    .min(arch::layout::DIRECT_MAP_SIZE);
                machine.ram[machine.count] = entry.address.min(end)..end;
                machine.count += 1;
            }
        }
        if info.command_line != 0 {
            let start = arch::boot::direct(info.command_line);
            let mut length = 0;
            // SAFETY: a string that the monitor put below 4 GiB. Its memory is taken (see `boot_main`), so it
            // stays as it is.
            unsafe {
                while length < 131_072 && start.add(length).read() != 0 {
                    length += 1;
                }
                let bytes = core::slice::from_raw_parts(start, length);
                machine.command_line = core::str::from_utf8(bytes).unwrap_or("");
            }
            machine.command_line_range = info.command_line..info.command_line + length as u64;
        }
        let told = last_value(machine.command_line, words::PROCESSORS).and_then(|value| value.parse().ok());
        machine.topology = match told {
            Some(processors) if info.acpi_tables == 0 => Ok(Topology {
                processors,
                interrupt_controller: None,
            }),
            _ => pith_firmware_tables::read(&Physical, info.acpi_tables),
        };
        machine
    }

    fn ram(&self) -> &[Range<u64>] {
        &self.ram[..self.count]
    }
}

/// Finds the payload behind the kernel, before anything is allocated that could lie on it.
fn find_payload(ram: &[Range<u64>]) -> (ImageHeader, Range<u64>) {
    let (_, kernel_end) = arch::boot::kernel_extent();
    let start = kernel_end.next_multiple_of(PAYLOAD_ALIGNMENT);
    let total: u64 = ram.iter().map(|range| range.end - range.start).sum();
    let Some(region) = ram.iter().find(|range| range.contains(&start)) else {
        give_up(format_args!(
            "too little memory: the machine has {} KiB, and the image does not fit; run it with more (-m)",
            total >> 10
        ));
    };
    let header: ImageHeader = read_physical(start);
    if header.magic != IMAGE_MAGIC {
        if region.end - start < 1 << 20 {
            give_up(format_args!(
                "too little memory: {} KiB; run the image with more (-m)",
                total >> 10
            ));
        }
        give_up(format_args!(
            "there is no image behind the kernel; build one with `pith build`"
        ));
    }
    if header.version != IMAGE_VERSION {
        give_up(format_args!(
            "the image has version {}, this kernel knows {IMAGE_VERSION}",
            header.version
        ));
    }
    let end = header
        .configuration_offset
        .checked_add(header.configuration_length)
        .into_iter()
        .chain(header.root_offset.checked_add(header.root_length))
        .max()
        .and_then(|length| start.checked_add(length));
    match end {
        Some(end) if end <= region.end && header.root_offset.is_multiple_of(PAYLOAD_ALIGNMENT) => {
            (header, start..end.next_multiple_of(PAYLOAD_ALIGNMENT))
        }
        Some(end) => give_up(format_args!(
            "too little memory: the image needs {} MiB and room to work, the machine has {} MiB; run it with more (-m)",
            end.div_ceil(1 << 20),
            total >> 20
        )),
        None => give_up(format_args!(
            "the image is damaged: its header has impossible sizes; build it again"
        )),
    }
}

/// Bytes of the payload, which is never written and never given out.
fn payload_bytes(start: u64, offset: u64, length: u64) -> &'static [u8] {
    // SAFETY: inside the payload (checked by `find_payload`), which is read-only and reserved for ever.
    unsafe { core::slice::from_raw_parts(arch::boot::direct(start + offset), length as usize) }
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut result = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let escape = (bytes[index] == b'%')
            .then(|| {
                text.get(index + 1..index + 3)
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            })
            .flatten();
        match escape {
            Some(byte) => {
                result.push(byte);
                index += 3;
            }
            None => {
                result.push(bytes[index]);
                index += 1;
            }
        }
    }
    result
}

/// Sets a variable of the environment, `NAME=VALUE`, in place of one of this name.
fn set_variable(configuration: &mut Configuration, variable: Vec<u8>) {
    let name = variable.split(|&byte| byte == b'=').next();
    configuration
        .environment
        .retain(|old| old.split(|&byte| byte == b'=').next() != name);
    configuration.environment.push(variable);
}

/// Reads what `pith.user` says: the user, and the home directory.
fn user_and_home(text: &[u8]) -> Option<(User, &[u8])> {
    let mut parts = text.splitn(4, |&byte| byte == b':');
    let mut numbers = || {
        let part = core::str::from_utf8(parts.next()?).ok()?;
        let numbers = part.split(',').filter(|number| !number.is_empty());
        numbers.map(|number| number.parse().ok()).collect::<Option<Vec<u32>>>()
    };
    let (users, groups, supplementary) = (numbers()?, numbers()?, numbers()?);
    let ([user], [group]) = (&users[..], &groups[..]) else {
        return None;
    };
    let user = User {
        user: *user,
        group: *group,
        supplementary,
    };
    Some((user, parts.next()?))
}

fn apply_command_line(configuration: &mut Configuration, command_line: &str) -> Result<(), program::LoadError> {
    let allowed = configuration.overridable;
    let refuse = |word: &str| {
        crate::warning!("{word}= is ignored: the image does not mark it as overridable");
    };
    if let Some(value) = last_value(command_line, words::TRACE) {
        if allowed.diagnostics {
            configuration.trace = value != "0"
        } else {
            refuse(words::TRACE)
        }
    }
    if let Some(value) = last_value(command_line, words::LOG) {
        let level = match value {
            "error" => Some(LogLevel::Error),
            "warn" => Some(LogLevel::Warn),
            "info" => Some(LogLevel::Info),
            "debug" => Some(LogLevel::Debug),
            "trace" => Some(LogLevel::Trace),
            _ => None,
        };
        match level {
            Some(level) if allowed.diagnostics => configuration.log_level = level,
            Some(_) => refuse(words::LOG),
            None => crate::warning!("{}={value}: not a level", words::LOG),
        }
    }
    let arguments: Vec<_> = values(command_line, words::ARGUMENT).map(decode).collect();
    if !arguments.is_empty() {
        if allowed.arguments {
            configuration.arguments.truncate(1);
            configuration.arguments.extend(arguments);
        } else {
            refuse(words::ARGUMENT);
        }
    }
    if let Some(user) = last_value(command_line, words::USER).map(decode) {
        if !allowed.user {
            refuse(words::USER);
        } else if let Some((user, home)) = user_and_home(&user) {
            configuration.user = Some(user);
            set_variable(configuration, [b"HOME=", home].concat());
        } else {
            // In the name of whom it was not meant to, the program does not run.
            let message = alloc::format!("{}= needs USER:GROUP:GROUPS:HOME in numbers", words::USER);
            return Err(not_started(pith_linux::Errno::EINVAL, message));
        }
    }
    for variable in values(command_line, words::ENVIRONMENT).map(decode) {
        if !allowed.environment {
            refuse(words::ENVIRONMENT);
            break;
        }
        set_variable(configuration, variable);
    }
    if let Some(directory) = last_value(command_line, words::WORKING_DIRECTORY) {
        if allowed.working_directory {
            configuration.working_directory = decode(directory);
        } else {
            refuse(words::WORKING_DIRECTORY);
        }
    }
    Ok(())
}

/// The first Rust function. `start_info` is the physical address of `hvm_start_info`.
#[unsafe(no_mangle)]
extern "C" fn boot_main(start_info: u64) -> ! {
    // SAFETY: one processor, once, before interrupts; the boot stack is the one that we run on.
    unsafe {
        arch::boot::initialise_cpu(arch::boot::boot_stack());
    }
    let machine = Machine::read(start_info);
    let (header, payload) = find_payload(machine.ram());
    let (kernel_start, _) = arch::boot::kernel_extent();

    // Everything from the kernel to the end of the payload is taken, and so are the first MiB, where monitors
    // leave things, and the command line.
    let taken = [
        0..0x10_0000,
        kernel_start..payload.end,
        machine.command_line_range.clone(),
    ];
    let total: u64 = machine.ram().iter().map(|range| range.end - range.start).sum();
    TOTAL_MEMORY.store(total, Ordering::Relaxed);
    if let Err(problem) = memory::initialise_frames(machine.ram(), &taken) {
        give_up(format_args!(
            "too little memory ({problem}): {} MiB; run the image with more (-m)",
            total >> 20
        ));
    }
    let managed = memory::counters().total;
    UNMANAGED_MEMORY.store(total.saturating_sub(managed), Ordering::Relaxed);
    if managed < 1 << 20 {
        give_up(format_args!(
            "too little memory: {} KiB are left besides the image of {} MiB; run it with more (-m)",
            managed >> 10,
            payload.end.div_ceil(1 << 20)
        ));
    }
    let highest = machine.ram().iter().map(|range| range.end).max().unwrap_or(0);
    let command_line = machine.command_line;
    memory::remember_ram(machine.ram());
    devices::command_line::remember(command_line);
    let sealed = arch::boot::extend_direct_map(highest, &mut memory::table_frame)
        .and_then(|()| {
            arch::boot::seal(
                (payload.start, payload.end),
                &mut machine.ram().iter().map(|range| (range.start, range.end)),
                &mut memory::table_frame,
            )
        })
        .and_then(|()| {
            let controller = machine.topology.ok().and_then(|topology| topology.interrupt_controller);
            arch::boot::initialise_interrupts(controller, &mut memory::table_frame)
        });
    if sealed.is_err() {
        give_up(format_args!(
            "too little memory for page tables: {} MiB; run the image with more (-m)",
            total >> 20
        ));
    }
    arch::boot::start_clock();
    if let Some(told) = last_value(command_line, words::TIME).and_then(|value| value.parse().ok()) {
        task::set_wall_clock_at_boot(told);
    }
    arch::install_handlers(Handlers {
        page_fault,
        exception: task::signal::exception,
        interrupt: devices::interrupts::dispatch,
        system_call: syscalls::dispatch,
        before_return: task::before_return,
        fatal: crate::panic::fatal_trap,
    });

    devices::console::initialise(command_line);
    let start = start_program(&header, payload.start, command_line, machine.topology);
    match start {
        Ok(registers) => {
            PROGRAM_TICKS.store(arch::read_time_stamp_counter(), Ordering::Relaxed);
            arch::start_program(&registers)
        }
        Err(error) => finish(Outcome::NotStarted {
            errno: error.errno.number(),
            message: error.message,
        }),
    }
}

fn not_started(errno: pith_linux::Errno, message: impl ToString) -> program::LoadError {
    program::LoadError {
        errno,
        message: message.to_string(),
    }
}

/// Remembers what the image and the monitor say about the network, one card after the other. Without it the program runs
/// all the same.
fn start_network(command_line: &'static str, configuration: &Configuration) {
    let mut interfaces = Vec::new();
    let mut told = values(command_line, words::NETWORK);
    let mut baked = configuration.network.iter();
    let read = |word: &str| match Settings::parse(word) {
        Ok(settings) => Some(settings),
        Err(problem) => {
            crate::warning!("{}: {problem}; this card is not used", words::NETWORK);
            None
        }
    };
    loop {
        match (told.next(), baked.next()) {
            (None, None) => break,
            (Some(told), None) => interfaces.extend(read(told)),
            (Some(told), Some(_)) if configuration.overridable.network => interfaces.extend(read(told)),
            (told, Some(baked)) => interfaces.extend(read(baked).map(|baked| with_card(baked, told.and_then(read)))),
        }
    }
    if !interfaces.is_empty() {
        net::internet::initialise(command_line, interfaces);
    }
}

/// What the image and the monitor say about file systems in memory.
fn storage_settings(
    command_line: &str,
    configuration: &Configuration,
) -> Result<Vec<pith_storage_settings::Settings>, program::LoadError> {
    let told: Vec<String> = values(command_line, words::STORAGE)
        .map(|word| String::from_utf8_lossy(&decode(word)).into_owned())
        .collect();
    let told = match configuration.overridable.storage || told.is_empty() {
        true => told,
        false => {
            crate::warning!(
                "{}= is ignored: the image does not mark it as overridable",
                words::STORAGE
            );
            Vec::new()
        }
    };
    let all = configuration.storage.iter().chain(&told);
    all.map(|text| {
        pith_storage_settings::Settings::parse(text).map_err(|problem| {
            let message = alloc::format!("{}: {problem}", words::STORAGE);
            not_started(pith_linux::Errno::EINVAL, message)
        })
    })
    .collect()
}

/// The settings of the image, for the card that the monitor means.
fn with_card(baked: Settings, told: Option<Settings>) -> Settings {
    let Some(told) = told else { return baked };
    let settings = Settings {
        hardware: baked.hardware.or(told.hardware),
        queues: told.queues,
        ..baked
    };
    if told.has_addressing() && told != settings {
        crate::warning!(
            "{}= is ignored: the image does not mark it as overridable",
            words::NETWORK
        );
    }
    settings
}

/// Starts the other processors. They come while the program runs already; without memory for them, it runs on fewer.
fn start_processors(process: &Arc<Process>, topology: Result<Topology, pith_firmware_tables::Problem>) {
    let count = match topology {
        Ok(topology) => topology.processors as usize,
        Err(problem) => {
            crate::debug!("one processor is used: {problem}");
            1
        }
    };
    crate::debug!("the machine has {count} processors");
    if count > arch::MAXIMUM_CPUS {
        crate::warning!(
            "the machine has {count} processors; {} of them are used",
            arch::MAXIMUM_CPUS
        );
    }
    // The only thread may leave the boot processor for another.
    if task::threads::ensure_idle_thread(process).is_err() {
        crate::warning!("too little memory for the stacks of other processors; one is used");
        return;
    }
    let stacks: Vec<_> = (1..count.min(arch::MAXIMUM_CPUS))
        .map_while(|cpu| task::threads::prepare_idle_thread(process, cpu))
        .map(|thread| arch::HasContext::kernel_stack(&*thread))
        .collect();
    if stacks.is_empty() {
        return;
    }
    // SAFETY: the boot processor, once, with the tables as they stay; the stacks are those of idle threads, which live
    // for ever and run nowhere else.
    let started = unsafe { arch::boot::start_processors(&stacks, task::processor_started, &mut memory::table_frame) };
    if started.is_err() {
        crate::warning!("too little memory for the page tables of other processors; one is used");
    }
}

/// Who the program is: root, or the user that the image names, who is left with the rights that root has when it becomes
/// one.
fn first_credentials(configuration: &Configuration) -> Credentials {
    let Some(user) = &configuration.user else {
        return Credentials::ROOT;
    };
    let mut groups = user.supplementary.clone();
    pith_sorted_map::sort_by_key(&mut groups, |group| *group);
    let root = Credentials {
        supplementary: (!groups.is_empty()).then(|| Arc::new(groups)),
        ..Credentials::ROOT
    };
    // Root may become anybody, whatever the number.
    root.set_three(Kind::Group, [user.group; 3])
        .and_then(|own| own.set_three(Kind::User, [user.user; 3]))
        .unwrap_or(Credentials::ROOT)
}

fn start_program(
    header: &ImageHeader,
    payload: u64,
    command_line: &'static str,
    topology: Result<Topology, pith_firmware_tables::Problem>,
) -> Result<Registers, program::LoadError> {
    let bytes = payload_bytes(payload, header.configuration_offset, header.configuration_length);
    let mut configuration: Configuration = postcard::from_bytes(bytes).map_err(|_| {
        not_started(
            pith_linux::Errno::EINVAL,
            "the image's configuration can't be read; build the image again",
        )
    })?;
    apply_command_line(&mut configuration, command_line)?;
    crate::log::set_level(configuration.log_level);
    syscalls::set_tracing(configuration.trace);
    task::system_name::set_hostname(&configuration.hostname);

    let root = payload_bytes(payload, header.root_offset, header.root_length);
    fs::mount_root(root, &storage_settings(command_line, &configuration)?).map_err(|error| {
        not_started(
            pith_linux::Errno::EIO,
            alloc::format!("the image's root file system: {error}"),
        )
    })?;
    start_network(command_line, &configuration);
    let resources = fs::FileContext::first(&configuration.working_directory).map_err(|errno| {
        let directory = String::from_utf8_lossy(&configuration.working_directory).into_owned();
        not_started(
            errno,
            alloc::format!("working directory {directory}: {}", errno.message()),
        )
    })?;

    let no_memory = || {
        not_started(
            pith_linux::Errno::ENOMEM,
            "too little memory; run the image with more (-m)",
        )
    };
    let empty = AddressSpace::new().ok_or_else(no_memory)?;
    let process = Process::first(empty, resources, Arc::new(first_credentials(&configuration)));
    let thread = task::threads::first_thread(&process).ok_or_else(no_memory)?;
    task::on_exit(process_ended);
    task::family::on_end(program::process_ends);
    *LAST_REASON.lock() = String::from("out of memory: the kernel has none left; give the machine more (-m)");
    task::adopt(thread.clone());
    start_processors(&process, topology);
    devices::console::on_time(task::hear_wall_clock);
    // Signals that came until now were kept; from here on there is a process to take them.
    devices::console::on_signal(post_signal);
    let stack_limit = process.limit(task::Limits::STACK);
    let loaded = program::load(
        &configuration.program,
        configuration.arguments,
        &configuration.environment,
        stack_limit,
    )?;
    Ok(program::commit(&process, &thread, loaded))
}

/// Passes a signal on that the host sent: those of its terminal to whoever is in the foreground there, others to the first
/// process.
fn post_signal(signal: u8) {
    let (Some(process), Some(signal)) = (task::first_process(), Signal::from_number(u64::from(signal))) else {
        return;
    };
    let of_terminal = matches!(signal, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGWINCH);
    if !(of_terminal && fs::console::signal_foreground(signal)) {
        task::signal::post(&process, signal);
    }
}

fn page_fault(fault: PageFault) -> bool {
    let Some(thread) = task::try_current() else {
        return false;
    };
    let waiting = if !fault.may_sleep || !thread.may_wait_for_faults() {
        Waiting::Never
    } else if fault.by_program {
        Waiting::Interruptible
    } else {
        Waiting::Killable
    };
    // The address space is held for the fault alone: who is killed for memory does not come back to let it go.
    let repair = || {
        let space = thread.process.address_space();
        match space.handle_fault(fault.address, fault.access, waiting) {
            Err(FaultError::MustGrow) => {
                space.grow_stack(fault.address, &thread.process.allowance())?;
                space.handle_fault(fault.address, fault.access, waiting)
            }
            repaired => repaired,
        }
    };
    let mut repaired = repair();
    while repaired == Err(FaultError::OutOfMemory) {
        memory::reclaim();
        repaired = repair();
        // Where the thread may not wait, it is told to touch the page first and to try again.
        let waits = waiting != Waiting::Never;
        if repaired == Err(FaultError::OutOfMemory) && !(waits && memory_killer::make_room(&thread, fault.address)) {
            break;
        }
    }
    match repaired {
        Ok(()) => true,
        // The program meets it again after its signal.
        Err(FaultError::Interrupted) if fault.by_program => true,
        // So it does if the thread has to end.
        Err(FaultError::OutOfMemory) if fault.by_program => true,
        Err(FaultError::Watched | FaultError::OutOfMemory) => {
            thread.note_unwaited_fault();
            false
        }
        Err(error) => {
            task::signal::note_fault(&thread, error);
            false
        }
    }
}

fn process_ended(reason: ExitReason) -> ! {
    net::internet::leave();
    devices::console::lacking(&fs::lacking::take());
    finish(match reason {
        ExitReason::Exited(status) => Outcome::Exited(status),
        ExitReason::Signaled(signal, reason) => Outcome::Signaled { signal, reason },
    })
}

/// Reports how the machine ended, and ends it.
pub fn finish(outcome: Outcome) -> ! {
    let peak = memory::counters().peak + UNMANAGED_MEMORY.load(Ordering::Relaxed);
    report(outcome, peak)
}

/// What is reported if the kernel itself finds no memory: made while there is some.
static LAST_REASON: spin::Mutex<String> = spin::Mutex::new(String::new());

/// Ends the machine as one whose program was killed for want of memory. Whoever comes here may hold any lock: it takes
/// none and allocates nothing, like [`finish_in_panic`].
pub fn kill_without_memory() -> ! {
    let reason = LAST_REASON.try_lock().map(|mut reason| core::mem::take(&mut *reason));
    report(
        Outcome::Signaled {
            signal: 9,
            reason: reason.unwrap_or_default(),
        },
        0,
    )
}

/// Reports a defect of the kernel, whose log has the details. Takes no lock and allocates nothing.
pub fn finish_in_panic() -> ! {
    report(Outcome::Panicked(String::new()), 0)
}

fn report(outcome: Outcome, peak: u64) -> ! {
    let report = ExitReport {
        outcome,
        timeline: Timeline {
            entry: arch::entry_ticks(),
            program: PROGRAM_TICKS.load(Ordering::Relaxed),
            exit: arch::read_time_stamp_counter(),
            ticks_per_second: arch::estimated_frequency(),
        },
        memory: MemoryReport {
            total: TOTAL_MEMORY.load(Ordering::Relaxed),
            peak,
        },
    };
    devices::console::report_exit(&report)
}
