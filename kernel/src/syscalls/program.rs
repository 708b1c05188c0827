//! Programs: starting one (`execve(2)`), ending it (`exit(2)`).

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pith_elf_plan::auxiliary as aux;
use pith_elf_plan::{Executable as Format, Kind, Plan, Segment, StackContents};
use pith_linux::Errno;
use pith_linux::credentials::{Credentials, ProgramRights};
use pith_linux::files::{AT_FDCWD, AtFlags};

use super::Reply;
use super::metadata::{find_path, known_flags, path_or_empty};
use crate::arch::{self, Registers, layout};
use crate::fs;
use crate::memory::{
    AddressSpace, Allowance, AreaFlags, AreaName, Backing, Layout, MapRequest, PAGE_SIZE, Placement, Protection,
    UserPointer, read_object, read_string,
};
use crate::task::{self, ExitReason, Limits, Process, ProgramIdentity};

const PAGE: u64 = PAGE_SIZE as u64;

/// What Linux reads of a file to recognise its format.
const START_LENGTH: usize = 4096;
/// Scripts whose interpreters are scripts: as many as Linux follows.
const MAXIMUM_SCRIPTS: usize = 5;
/// A position-independent program is loaded at two thirds of the address space, plus randomness.
const PROGRAM_BASE: u64 = 0x5555_5555_4000;
/// What the stack is mapped with at first.
const INITIAL_STACK: u64 = 132 * 1024;
/// Limit of the stack of a program that has more power than whoever starts it.
const INITIAL_STACK_LIMIT: u64 = 8 << 20;
/// Habits that such a program does not take over (`PER_CLEAR_ON_SETID`): `READ_IMPLIES_EXEC`, [`FIXED_ADDRESSES`],
/// `ADDR_COMPAT_LAYOUT`, `MMAP_PAGE_ZERO`.
const FORGOTTEN_HABITS: u32 = 0x40_0000 | FIXED_ADDRESSES | 0x20_0000 | 0x10_0000;
/// Longest string and most strings that are read from the program.
const STRING_LIMIT: usize = pith_elf_plan::ARGUMENT_STRING_LIMIT;

/// Why a program could not be started.
pub struct LoadError {
    /// For the program that asked.
    pub errno: Errno,
    /// For people.
    pub message: String,
}

impl From<Errno> for LoadError {
    fn from(errno: Errno) -> Self {
        Self {
            errno,
            message: String::from(errno.message()),
        }
    }
}

fn failure(errno: Errno, path: &[u8], what: impl core::fmt::Display) -> LoadError {
    LoadError {
        errno,
        message: format!("{}: {what}", String::from_utf8_lossy(path)),
    }
}

fn number_to_errno(number: u16) -> Errno {
    Errno::from_number(number).unwrap_or(Errno::ENOEXEC)
}

/// A program that is ready to run.
pub struct Loaded {
    space: Arc<AddressSpace>,
    registers: Registers,
    identity: ProgramIdentity,
    /// The path under which it was started: of a script its own, and not the interpreter's.
    path: Vec<u8>,
    credentials: Credentials,
    /// It has more power than whoever started it.
    secure: bool,
    /// It may not be looked into, since it may not be read.
    unreadable: bool,
}

struct File {
    executable: fs::Executable,
    start: Vec<u8>,
}

fn open(path: &[u8]) -> Result<File, LoadError> {
    let executable = fs::open_executable(path).map_err(|errno| failure(errno, path, errno.message()))?;
    read_start(executable, path)
}

fn read_start(executable: fs::Executable, path: &[u8]) -> Result<File, LoadError> {
    let mut start = alloc::vec![0; START_LENGTH.min(executable.size() as usize)];
    let length = executable
        .read_at(0, &mut start)
        .map_err(|errno| failure(errno, path, errno.message()))?;
    start.truncate(length);
    Ok(File { executable, start })
}

fn plan_of(file: &File, path: &[u8]) -> Result<Plan, LoadError> {
    let size = file.executable.size();
    let fail = |error: pith_elf_plan::Error| failure(number_to_errno(error.errno()), path, error);
    match Plan::parse(&file.start, size) {
        Err(pith_elf_plan::Error::NeedMore { .. }) => {
            let range = Plan::program_headers(&file.start, size).map_err(fail)?;
            let mut table = alloc::vec![0; range.length as usize];
            let read = file.executable.read_at(range.offset, &mut table)?;
            table.truncate(read);
            Plan::parse_parts(&file.start, &table, size).map_err(fail)
        }
        other => other.map_err(fail),
    }
}

fn protection_of(segment: &Segment) -> Protection {
    let mut protection = Protection::empty();
    protection.set(Protection::READ, segment.protection.read);
    protection.set(Protection::WRITE, segment.protection.write);
    protection.set(Protection::EXECUTE, segment.protection.execute);
    protection
}

/// Maps the segments of a plan, moved by `bias`.
fn map_segments(space: &AddressSpace, file: &File, plan: &Plan, bias: u64) -> Result<(), Errno> {
    let mapped_file = file.executable.mapped_file();
    for segment in &plan.segments {
        let request = |start: u64, end: u64, backing: Backing| MapRequest {
            placement: Placement::Fixed(bias.wrapping_add(start)),
            length: end - start,
            protection: protection_of(segment),
            maximum_protection: Protection::all(),
            flags: AreaFlags::empty(),
            name: AreaName::None,
            backing,
        };
        let pages = segment.file_pages();
        if !pages.is_empty() {
            let backing = Backing::Object {
                source: file.executable.page_source(),
                offset: segment.file_offset,
                file: Some(mapped_file.clone()),
            };
            space.map(request(pages.start, pages.end, backing), &Allowance::UNLIMITED)?;
        }
        let anonymous = segment.anonymous_pages();
        if !anonymous.is_empty() {
            space.map(
                request(anonymous.start, anonymous.end, Backing::Anonymous),
                &Allowance::UNLIMITED,
            )?;
        }
        let tail = segment.to_clear();
        if !tail.is_empty() && segment.protection.write {
            space.clear(bias.wrapping_add(tail.start)..bias.wrapping_add(tail.end))?;
        }
    }
    Ok(())
}

/// `ADDR_NO_RANDOMIZE` of `personality(2)`.
const FIXED_ADDRESSES: u32 = 0x004_0000;

/// Random pages, fewer than 2^`bits`, in bytes.
fn random_offset(random: &mut task::random::Stream, bits: u32) -> u64 {
    (random_word(random) & ((1 << bits) - 1)) * PAGE
}

fn random_word(random: &mut task::random::Stream) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Loads a program into a new address space. Nothing of the running program changes.
///
/// # Errors
/// [`LoadError`], with the errno of `execve(2)`.
pub fn load(
    path: &[u8],
    arguments: Vec<Vec<u8>>,
    environment: &[Vec<u8>],
    stack_limit: u64,
) -> Result<Loaded, LoadError> {
    load_file(open(path)?, Name::Path(path), arguments, environment, stack_limit)
}

/// The name under which a program is started.
enum Name<'a> {
    /// A path.
    Path(&'a [u8]),
    /// A name below `/dev/fd`, of a descriptor that the program will not have: an interpreter could not read it.
    Inaccessible(&'a [u8]),
}

fn load_file(
    mut file: File,
    name: Name<'_>,
    mut arguments: Vec<Vec<u8>>,
    environment: &[Vec<u8>],
    stack_limit: u64,
) -> Result<Loaded, LoadError> {
    let (Name::Path(path) | Name::Inaccessible(path)) = name;
    let mut path = path.to_vec();
    let original_path = path.clone();
    let mut scripts = 0;
    while let Format::Script(script) =
        Format::detect(&file.start).map_err(|error| failure(number_to_errno(error.errno()), &path, error))?
    {
        scripts += 1;
        if matches!(name, Name::Inaccessible(_)) {
            return Err(failure(
                Errno::ENOENT,
                &path,
                "a script whose descriptor is closed by execve",
            ));
        }
        if scripts > MAXIMUM_SCRIPTS {
            return Err(failure(
                Errno::ELOOP,
                &path,
                "interpreters of scripts that are scripts, too many",
            ));
        }
        // argv: the interpreter, its argument, the script's path, then what came after argv[0].
        let mut new = alloc::vec![script.interpreter.to_vec()];
        new.extend(script.argument.map(<[u8]>::to_vec));
        new.push(path);
        new.extend(arguments.into_iter().skip(1));
        arguments = new;
        path = script.interpreter.to_vec();
        file = open(&path)?;
    }
    let plan = plan_of(&file, &path)?;
    let interpreter = match plan.interpreter {
        None => None,
        Some(range) => {
            let mut bytes = alloc::vec![0; range.length as usize];
            let read = file.executable.read_at(range.offset, &mut bytes)?;
            let name = Plan::interpreter_path(&bytes[..read])
                .map_err(|error| failure(number_to_errno(error.errno()), &path, error))?;
            let opened = open(name).map_err(|error| {
                failure(
                    error.errno,
                    &path,
                    format!("its dynamic linker can't be used: {}", error.message),
                )
            })?;
            let plan = plan_of(&opened, name).map_err(|error| LoadError {
                errno: Errno::ELIBBAD,
                ..error
            })?;
            Some((opened, plan))
        }
    };

    let (credentials, secure) =
        credentials_for(&file.executable).map_err(|errno| failure(errno, &path, "its capabilities can't be had"))?;
    // Who gets more rights by a program must not know where it lies, nor how little room it has.
    let gains = task::try_credentials().is_some_and(|own| own.hides(&credentials));
    let stack_limit = if secure {
        stack_limit.min(INITIAL_STACK_LIMIT)
    } else {
        stack_limit
    };

    // Where things go, as on Linux: stack at the top, mappings below it, the program at two thirds.
    let out_of_memory = || {
        failure(
            Errno::ENOMEM,
            &path,
            "not enough memory to start it; give the machine more (-m)",
        )
    };
    let space = AddressSpace::new().ok_or_else(out_of_memory)?;
    let mut random = task::random::Stream::new();
    let is_scattered = gains || task::current().personality.load(Ordering::Relaxed) & FIXED_ADDRESSES == 0;
    let mut offset = |bits| {
        let offset = random_offset(&mut random, bits);
        if is_scattered { offset } else { 0 }
    };
    space.set_stack_limit(stack_limit);
    space.set_size_limit(task::current().process.limit(Limits::ADDRESS_SPACE));
    let stack_top = layout::PROGRAM_END - offset(22);
    let gap = stack_limit.clamp(128 << 20, layout::PROGRAM_END / 6 * 5) + (PAGE << 22);
    let mapping_top = layout::PROGRAM_END - gap - offset(28);
    space.set_layout(Layout {
        mapping_top,
        break_start: 0,
    });

    let memory_error = |errno: Errno| match errno {
        Errno::ENOMEM => out_of_memory(),
        errno => failure(errno, &path, "its segments can't be mapped"),
    };
    let bias = match plan.kind {
        Kind::Fixed => 0,
        // A program with an interpreter goes to the usual place; an interpreter run by itself, among mappings.
        Kind::PositionIndependent if interpreter.is_some() || plan.program_headers_address.is_some() => {
            let alignment = plan.alignment.max(PAGE);
            ((PROGRAM_BASE + offset(28)) / alignment * alignment).wrapping_sub(plan.lowest_address())
        }
        Kind::PositionIndependent => PROGRAM_BASE.wrapping_sub(plan.lowest_address()),
    };
    map_segments(&space, &file, &plan, bias).map_err(memory_error)?;

    let (base, start) = match &interpreter {
        None => (0, bias.wrapping_add(plan.entry)),
        Some((file, plan)) => {
            let alignment = plan.alignment.max(PAGE);
            let room = mapping_top
                .checked_sub(plan.span().next_multiple_of(PAGE))
                .ok_or_else(out_of_memory)?;
            let place = room / alignment * alignment;
            let bias = match plan.kind {
                Kind::Fixed => 0,
                Kind::PositionIndependent => place.wrapping_sub(plan.lowest_address()),
            };
            map_segments(&space, file, plan, bias).map_err(memory_error)?;
            (bias, bias.wrapping_add(plan.entry))
        }
    };
    let break_start = bias.wrapping_add(plan.break_start).next_multiple_of(PAGE) + offset(13);
    space.set_layout(Layout {
        mapping_top,
        break_start,
    });

    let vdso = map_vdso(&space).map_err(memory_error)?;

    let (capabilities, more_capabilities) = arch::hardware_capabilities();
    let auxiliary = [
        (aux::AT_SYSINFO_EHDR, vdso),
        (aux::AT_HWCAP, capabilities),
        (aux::AT_PAGESZ, PAGE),
        (aux::AT_CLKTCK, 100),
        (
            aux::AT_PHDR,
            plan.program_headers_address
                .map_or(0, |address| bias.wrapping_add(address)),
        ),
        (aux::AT_PHENT, u64::from(plan.program_header_size)),
        (aux::AT_PHNUM, u64::from(plan.program_header_count)),
        (aux::AT_BASE, base),
        (aux::AT_FLAGS, 0),
        (aux::AT_ENTRY, bias.wrapping_add(plan.entry)),
        (aux::AT_UID, credentials.users[0].into()),
        (aux::AT_EUID, credentials.users[1].into()),
        (aux::AT_GID, credentials.groups[0].into()),
        (aux::AT_EGID, credentials.groups[1].into()),
        (aux::AT_SECURE, secure.into()),
        (aux::AT_HWCAP2, more_capabilities),
        (aux::AT_MINSIGSTKSZ, task::signal::minimum_stack_size()),
    ];
    // A random start below the top, so that cache sets differ from run to run (as Linux does).
    let mut random_bytes = [0; 16];
    random.fill(&mut random_bytes);
    let contents = StackContents {
        stack_top: stack_top
            - if is_scattered {
                random_word(&mut random) & 0x1ff0
            } else {
                0
            },
        stack_limit,
        arguments: &arguments,
        environment,
        program_path: &original_path,
        random: random_bytes,
        platform: b"x86_64",
        auxiliary: &auxiliary,
    };
    let stack = contents.build().map_err(|error| {
        failure(
            number_to_errno(error.errno()),
            &path,
            "its arguments and environment are too long",
        )
    })?;
    let stack_start = (stack.stack_pointer & !(PAGE - 1)).saturating_sub(INITIAL_STACK);
    let mut protection = Protection::READ | Protection::WRITE;
    protection.set(Protection::EXECUTE, plan.executable_stack);
    let request = MapRequest {
        placement: Placement::Fixed(stack_start),
        protection,
        flags: AreaFlags::GROWS_DOWN | AreaFlags::STACK,
        name: AreaName::Stack,
        ..MapRequest::anonymous(stack_top - stack_start)
    };
    space.map(request, &Allowance::UNLIMITED).map_err(memory_error)?;
    space.write(stack.stack_pointer, &stack.bytes).map_err(memory_error)?;

    Ok(Loaded {
        space,
        registers: Registers::for_program(start, stack.stack_pointer),
        identity: ProgramIdentity {
            path: file.executable.resolved_path(),
            arguments: (stack.argument_strings.start, stack.argument_strings.end),
            environment: (stack.environment_strings.start, stack.environment_strings.end),
            auxiliary: (stack.auxiliary_vector.start, stack.auxiliary_vector.end),
            stack: stack.stack_pointer,
            execution: Some(file.executable.execution()),
        },
        path: original_path,
        credentials,
        secure,
        unreadable: !file.executable.is_readable(),
    })
}

/// Who the thread is as it runs a program, and whether the program has more power than whoever starts it.
fn credentials_for(program: &fs::Executable) -> Result<(Credentials, bool), Errno> {
    let Some(own) = task::try_credentials() else {
        return Ok((Credentials::ROOT, false));
    };
    let file = program.metadata();
    let mut rights = ProgramRights::default();
    if program.gives_rights() {
        rights.user = (file.permissions & 0o4000 != 0).then_some(file.user);
        rights.group = (file.permissions & 0o2010 == 0o2010).then_some(file.group);
        rights.capabilities = program.capabilities()?;
    }
    own.run(&rights)
}

/// Maps the vDSO and its data and returns the address of its ELF header.
fn map_vdso(space: &AddressSpace) -> Result<u64, Errno> {
    let (data, code) = task::vdso::sources();
    let (data_length, code_length) = (task::vdso::DATA_PAGES * PAGE, task::vdso::code_pages() * PAGE);
    let request = |placement, length, protection, name, source| MapRequest {
        placement,
        length,
        protection,
        // As on Linux a debugger may write into its copy of the code.
        maximum_protection: match name {
            AreaName::Vdso => Protection::all(),
            _ => protection,
        },
        flags: match name {
            AreaName::Vdso => AreaFlags::KERNEL_PROVIDED,
            _ => AreaFlags::KERNEL_PROVIDED | AreaFlags::DONT_DUMP,
        },
        name,
        backing: Backing::object(source),
    };
    // One gap for both: reserve it, then put the parts in.
    let start = space.map(MapRequest::anonymous(data_length + code_length), &Allowance::UNLIMITED)?;
    let place = Placement::Fixed(start);
    space.map(
        request(place, data_length, Protection::READ, AreaName::Vvar, data),
        &Allowance::UNLIMITED,
    )?;
    let place = Placement::Fixed(start + data_length);
    let rights = Protection::READ | Protection::EXECUTE;
    space.map(
        request(place, code_length, rights, AreaName::Vdso, code),
        &Allowance::UNLIMITED,
    )?;
    Ok(start + data_length)
}

/// A process is about to leave its memory: what the kernel does there on its behalf ends, and with the last process that runs
/// in it what the memory itself is known for.
fn leave_memory(process: &Process) {
    super::io_uring::forget_all();
    if !process.address_space().is_shared() {
        super::asynchronous::forget_all();
    }
}

/// What the system calls have to do when a process ends.
pub fn process_ends(process: &Arc<Process>) {
    leave_memory(process);
    let execution = process.program.lock().execution.take();
    drop(execution);
    fs::ipc::semaphores::process_ends(process.id);
    fs::terminal::process_ends(process);
}

/// Makes a loaded program the process's: from here on the old one is gone. Returns the registers to start with.
pub fn commit(process: &Process, thread: &task::Thread, loaded: Loaded) -> Registers {
    leave_memory(process);
    thread.resources.get().unwrap_or(&process.resources).before_exec();
    process.settings.reset_for_exec();
    *thread.own_calls.lock() = None;
    task::signal::reset_for_exec(process, thread);
    let name = loaded.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    {
        let mut thread_name = thread.name.lock();
        *thread_name = [0; 16];
        let length = name.len().min(15);
        thread_name[..length].copy_from_slice(&name[..length]);
    }
    task::threads::leave_memory(thread);
    become_of_program(process, thread, &loaded);
    let before = core::mem::replace(&mut *process.program.lock(), loaded.identity);
    drop(before);
    process.replace_address_space(loaded.space);
    process.family.executes();
    arch::set_thread_pointer(0);
    arch::reset_vector_state();
    loaded.registers
}

/// The thread becomes who runs the program that it loaded.
fn become_of_program(process: &Process, thread: &task::Thread, loaded: &Loaded) {
    let old = thread.credentials();
    if loaded.unreadable || old.users[1] != old.users[0] || old.groups[1] != old.groups[0] {
        process.settings.dumpable.store(false, Ordering::Relaxed);
    }
    if loaded.secure {
        process.family.parent_end_signal.store(0, Ordering::Relaxed);
        let stack = &mut process.limits.lock().0[Limits::STACK].0;
        *stack = (*stack).min(INITIAL_STACK_LIMIT);
    }
    if old.hides(&loaded.credentials) {
        thread.personality.fetch_and(!FORGOTTEN_HABITS, Ordering::Relaxed);
    }
    task::set_credentials(loaded.credentials.clone());
}

/// Reads a `NULL`-terminated array of strings.
fn read_strings(array: UserPointer, total: &mut usize, limit: usize) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    if array.is_null() {
        return Ok(strings);
    }
    loop {
        let pointer: u64 = read_object(array.offset(strings.len() as u64 * 8))?;
        if pointer == 0 {
            return Ok(strings);
        }
        let string = read_string(UserPointer(pointer), STRING_LIMIT, Errno::E2BIG)?;
        *total += string.len() + 9;
        if *total > limit {
            return Err(Errno::E2BIG);
        }
        strings.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        strings.push(string);
    }
}

/// `execve(2)`
pub fn execve(
    registers: &mut Registers,
    path: UserPointer,
    arguments: UserPointer,
    environment: UserPointer,
) -> Result<Reply, Errno> {
    let path = read_string(path, 4096, Errno::ENAMETOOLONG)?;
    run(
        registers,
        arguments,
        environment,
        |arguments, environment, stack_limit| load(&path, arguments, environment, stack_limit),
    )
}

/// `execveat(2)`
pub fn execveat(
    registers: &mut Registers,
    directory: i32,
    path: UserPointer,
    arguments: UserPointer,
    environment: UserPointer,
    flags: i32,
) -> Result<Reply, Errno> {
    let path = path_or_empty(path, flags)?;
    let flags = known_flags(flags, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)?;
    run(
        registers,
        arguments,
        environment,
        |arguments, environment, stack_limit| {
            let failed = |errno: Errno| failure(errno, &path, errno.message());
            let executable = find_path(directory, &path, flags)
                .and_then(fs::executable)
                .map_err(failed)?;
            let file = read_start(executable, &path)?;
            if directory == AT_FDCWD || path.first() == Some(&b'/') {
                return load_file(file, Name::Path(&path), arguments, environment, stack_limit);
            }
            let mut name = format!("/dev/fd/{directory}").into_bytes();
            if !path.is_empty() {
                name.push(b'/');
                name.extend_from_slice(&path);
            }
            let closes = fs::context::current().close_on_exec(directory).map_err(failed)?;
            let name = if closes {
                Name::Inaccessible(&name)
            } else {
                Name::Path(&name)
            };
            load_file(file, name, arguments, environment, stack_limit)
        },
    )
}

/// Runs another program, which `load` finds, with these arguments and this environment of the one that asks.
fn run(
    registers: &mut Registers,
    arguments: UserPointer,
    environment: UserPointer,
    load: impl FnOnce(Vec<Vec<u8>>, &[Vec<u8>], u64) -> Result<Loaded, LoadError>,
) -> Result<Reply, Errno> {
    task::check_thread_limit()?;
    let thread = task::current();
    let process = &thread.process;
    let stack_limit = process.limit(Limits::STACK);
    let limit = pith_elf_plan::argument_bytes_limit(stack_limit) as usize;
    let mut total = 0;
    let mut argument_strings = read_strings(arguments, &mut total, limit)?;
    let environment_strings = read_strings(environment, &mut total, limit)?;
    if argument_strings.is_empty() {
        // Linux 5.18 and later: never start a program without argv[0].
        argument_strings.push(Vec::new());
    }
    let loaded = load(argument_strings, &environment_strings, stack_limit).map_err(|error| {
        crate::info!("execve: {}", error.message);
        error.errno
    })?;
    // From here on there is no way back: the program that called is gone with its threads.
    task::threads::end_others()?;
    *registers = commit(process, &thread, loaded);
    Ok(Reply::Replaced)
}

/// `exit_group(2)`
pub fn exit_group(status: i32) -> Result<usize, Errno> {
    task::current_process().exit(ExitReason::Exited(status as u8))
}
