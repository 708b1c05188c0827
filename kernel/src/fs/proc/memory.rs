//! What `/proc` tells about memory: of the process, and of the machine.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pith_linux::Errno;

use super::process::program;
use super::{Subject, Text};
use crate::fs::{context, metadata::BLOCK_SIZE};
use crate::memory::{
    self, AreaFlags, AreaName, Backing, MappedFile, MemoryPolicy, Overcommit, PageShares, PageSource, PageUse,
    Protection,
};
use crate::task::{self, Process};

/// One area of the address space, copied so that nothing is locked while text is made.
pub struct AreaLine {
    /// First address.
    pub start: u64,
    /// Address behind the last one.
    pub end: u64,
    protection: Protection,
    maximum_protection: Protection,
    flags: AreaFlags,
    policy: u16,
    /// Its role, such as `[heap]`.
    pub name: AreaName,
    object: Option<Shown>,
}

/// An object that an area shows, and from where on.
struct Shown {
    source: Arc<dyn PageSource>,
    file: Option<Arc<dyn MappedFile>>,
    offset: u64,
}

impl Shown {
    fn of(backing: &Backing) -> Option<Self> {
        let Backing::Object { source, offset, file } = backing else {
            return None;
        };
        Some(Self {
            source: source.clone(),
            file: file.clone(),
            offset: *offset,
        })
    }

    /// Its path, by the name under which it was opened.
    fn name(&self) -> String {
        match &self.file {
            Some(file) => file.name(),
            None => self.source.name(),
        }
    }

    /// Whether it is memory and no file of a disk, as Linux counts that: files of a tmpfs are.
    fn is_shared_memory(&self) -> bool {
        self.source.is_shared_memory() || self.source.name().starts_with("/SYSV")
    }
}

impl PartialEq for Shown {
    /// Whether both have the same name for sure.
    fn eq(&self, other: &Self) -> bool {
        let file = |shown: &Self| shown.file.as_ref().map(|file| Arc::as_ptr(file).addr());
        Arc::ptr_eq(&self.source, &other.source) && file(self) == file(other)
    }
}

impl AreaLine {
    fn length(&self) -> u64 {
        self.end - self.start
    }

    /// The path of the object that it shows, if it has no role of its own.
    pub fn path(&self) -> Option<String> {
        let shown = self.object.as_ref().filter(|_| self.name.as_str().is_empty())?;
        Some(shown.name())
    }

    fn is_stack(&self) -> bool {
        self.name == AreaName::Stack
    }
}

/// All areas.
pub fn areas(process: &Process) -> Vec<AreaLine> {
    let mut lines = Vec::new();
    process.address_space().for_each_area(&mut |area| {
        lines.push(AreaLine {
            start: area.start,
            end: area.end,
            protection: area.protection,
            maximum_protection: area.maximum_protection,
            flags: area.flags,
            policy: area.policy,
            name: area.name.clone(),
            object: Shown::of(&area.backing),
        });
    });
    lines
}

/// What is written to `clear_refs`: which accesses are forgotten, or that the peak is. As on a Linux without
/// `CONFIG_MEM_SOFT_DIRTY`, nobody notes which pages are written, so that there is nothing to be forgotten of that.
pub fn clear_references(subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    let space = subject.process.address_space();
    let is_object = |area: &pith_address_space::Area<Backing>| area.backing != Backing::Anonymous;
    match text.trim().parse() {
        Ok(1) => space.forget_accesses(|_| true),
        Ok(2) => space.forget_accesses(|area| area.backing == Backing::Anonymous),
        Ok(3) => space.forget_accesses(is_object),
        Ok(4) => {}
        Ok(5) => space.reset_peak(),
        Ok(_) | Err(_) => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// `maps`
pub fn maps(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let mut names = Names::default();
    for area in &areas(&subject.process) {
        map_line(area, &mut names, text)?;
    }
    Ok(())
}

/// The name of the object that was asked for last: areas of one file mostly follow each other. And the own root directory.
#[derive(Default)]
struct Names<'a> {
    object: Option<&'a Shown>,
    identity: (u64, u64),
    name: String,
    root: Option<Vec<u8>>,
}

impl<'a> Names<'a> {
    /// Device and number of an object, and its path as the process sees it, if it lies below its root directory
    /// (`chroot(2)`).
    fn of(&mut self, shown: &'a Shown) -> ((u64, u64), &str) {
        if self.object != Some(shown) {
            let root = self.root.get_or_insert_with(|| context::current().root().path().bytes);
            self.name = shown.name();
            self.identity = shown.source.identity();
            self.object = Some(shown);
            if root != b"/" && matches!(self.name.as_bytes().strip_prefix(&root[..]), Some([b'/', ..])) {
                self.name.drain(..root.len());
            }
        }
        (self.identity, &self.name)
    }
}

/// A short line, made without the machinery of formatting: these files are read often, and of many lines.
struct Line {
    bytes: [u8; 128],
    length: usize,
}

impl Line {
    fn new() -> Self {
        Self {
            bytes: [0; 128],
            length: 0,
        }
    }

    fn byte(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// A few bytes, for which a call that copies them would be dearer.
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    /// A hexadecimal number with at least so many digits.
    fn hexadecimal(&mut self, number: u64, least: usize) {
        let needed = (u64::BITS - number.leading_zeros()).div_ceil(4) as usize;
        for digit in (0..needed.max(least)).rev() {
            self.byte(b"0123456789abcdef"[(number >> (4 * digit) & 15) as usize]);
        }
    }

    /// A decimal number, with spaces before it if it is shorter than `least`.
    fn decimal(&mut self, mut number: u64, least: usize) {
        let mut digits = [b' '; 20];
        let mut first = digits.len();
        while number != 0 || first == digits.len() {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.push(&digits[first.min(digits.len() - least)..]);
    }

    fn pad(&mut self, column: usize) {
        while self.length < column {
            self.byte(b' ');
        }
    }
}

/// The line of an area in `maps` and `smaps`.
fn map_line<'a>(area: &'a AreaLine, names: &mut Names<'a>, text: &mut Text) -> Result<(), Errno> {
    let mut line = Line::new();
    line.hexadecimal(area.start, 8);
    line.byte(b'-');
    line.hexadecimal(area.end, 8);
    let bit = |right, letter| if area.protection.contains(right) { letter } else { b'-' };
    let shared = area.flags.contains(AreaFlags::SHARED);
    line.push(&[
        b' ',
        bit(Protection::READ, b'r'),
        bit(Protection::WRITE, b'w'),
        bit(Protection::EXECUTE, b'x'),
        if shared { b's' } else { b'p' },
        b' ',
    ]);
    let (mut offset, mut device, mut number, mut name) = (0, 0, 0, area.name.as_str());
    if let Some(shown) = &area.object
        && name.is_empty()
    {
        ((device, number), name) = names.of(shown);
        offset = shown.offset;
    }
    let device = pith_linux::files::DeviceNumber::decode(device);
    line.hexadecimal(offset, 8);
    line.byte(b' ');
    line.hexadecimal(device.major.into(), 2);
    line.byte(b':');
    line.hexadecimal(device.minor.into(), 2);
    line.byte(b' ');
    line.decimal(number, 1);
    line.byte(b' ');
    let given = match &area.name {
        AreaName::Given(given) => Some(given),
        _ => None,
    };
    // Names start in column 74; a newline in one must not look like a new line.
    if given.is_some() || !name.is_empty() {
        line.pad(73);
    }
    text.bytes(&line.bytes[..line.length])?;
    match given {
        Some(given) if area.object.is_some() => write!(text, "[anon_shmem:{given}]")?,
        Some(given) => write!(text, "[anon:{given}]")?,
        None if name.contains('\n') => text.bytes(name.replace('\n', "\\012").as_bytes())?,
        None => text.bytes(name.as_bytes())?,
    }
    text.bytes(b"\n")
}

/// `numa_maps`: there is one node, which has everything.
pub fn node_maps(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let space = subject.process.address_space();
    let own = subject.thread.as_ref();
    let own = own.map_or(0, |thread| thread.memory_policy.load(Ordering::Relaxed));
    for area in areas(&subject.process) {
        let policy = if area.policy == 0 { own } else { area.policy };
        write!(text, "{:08x} {}", area.start, MemoryPolicy::decode(policy).describe())?;
        match (&area.object, area.name.as_str()) {
            (Some(shown), "") => write!(text, " file={}", shown.name().replace('\n', "\\012"))?,
            (_, "[heap]") => write!(text, " heap")?,
            (_, "[stack]") => write!(text, " stack")?,
            _ => {}
        }
        let usage = space.page_use(area.start..area.end);
        let pages = |bytes: u64| bytes / BLOCK_SIZE;
        let (resident, own, dirty) = (pages(usage.resident), pages(usage.own), pages(usage.dirty));
        if resident != 0 {
            if own != 0 {
                write!(text, " anon={own}")?;
            }
            if dirty != 0 {
                write!(text, " dirty={dirty}")?;
            }
            if resident != own && resident != dirty {
                write!(text, " mapped={resident}")?;
            }
            write!(text, " N0={resident} kernelpagesize_kB=4")?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// Sizes in bytes.
#[derive(Default)]
pub struct Sizes {
    /// All areas.
    pub total: u64,
    /// What of them is in memory.
    pub resident: u64,
    /// Of that, what belongs to the process alone.
    pub own: u64,
    /// Of that, pages of shared memory that is no file.
    pub shared: u64,
    /// What is mapped by large pages.
    pub huge: u64,
    /// Private memory that can be written.
    pub data: u64,
    /// Stacks.
    pub stack: u64,
    /// Code of the program.
    pub program: u64,
    /// Code of libraries.
    pub libraries: u64,
    /// Bounds of the program's code.
    pub code: (u64, u64),
}

/// What an object is to a process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Its program.
    Program,
    /// Memory.
    Shared,
    /// Any other file.
    File,
}

/// The sizes now.
pub fn sizes(process: &Process) -> Sizes {
    let space = process.address_space();
    let mut sizes = Sizes {
        total: space.total_bytes(),
        resident: space.resident_bytes(),
        own: space.own_bytes(),
        huge: space.large_bytes(),
        ..Sizes::default()
    };
    let path = String::from_utf8_lossy(&program(process).path).into_owned();
    // Areas of one object mostly follow each other.
    let mut last: Option<(&Shown, Role)> = None;
    for area in &areas(process) {
        let executable = area.protection.contains(Protection::EXECUTE);
        if area.is_stack() {
            sizes.stack += area.length();
        } else if area.protection.contains(Protection::WRITE) && !area.flags.contains(AreaFlags::SHARED) {
            sizes.data += area.length();
        }
        let Some(shown) = &area.object else { continue };
        let role = match last {
            Some((last, role)) if last == shown => role,
            _ if shown.is_shared_memory() => Role::Shared,
            _ if shown.name() == path => Role::Program,
            _ => Role::File,
        };
        last = Some((shown, role));
        if role == Role::Shared {
            let usage = space.page_use(area.start..area.end);
            sizes.shared += usage.resident - usage.own;
        }
        if executable {
            if role == Role::Program {
                sizes.program += area.length();
                sizes.code = (area.start, area.end);
            } else {
                sizes.libraries += area.length();
            }
        }
    }
    sizes
}

/// `statm`
pub fn memory_statistics(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let sizes = sizes(&subject.process);
    let pages = |bytes: u64| bytes / BLOCK_SIZE;
    let (total, resident, code) = (pages(sizes.total), pages(sizes.resident), pages(sizes.program));
    let shared = resident.saturating_sub(pages(sizes.own));
    writeln!(
        text,
        "{total} {resident} {shared} {code} 0 {} 0",
        pages(sizes.data + sizes.stack)
    )
}

/// Letters of an area's properties in `smaps`, as `proc_pid_smaps(5)` lists them.
fn property_letters(area: &AreaLine, text: &mut Text) -> Result<(), Errno> {
    let (now, most) = (area.protection, area.maximum_protection);
    let shared = area.flags.contains(AreaFlags::SHARED);
    let flag = |flag| area.flags.contains(flag);
    let data = area.name == AreaName::Vvar;
    for (holds, letters) in [
        (now.contains(Protection::READ), "rd"),
        (now.contains(Protection::WRITE), "wr"),
        (now.contains(Protection::EXECUTE), "ex"),
        (shared && most.contains(Protection::WRITE), "sh"),
        (most.contains(Protection::READ), "mr"),
        (most.contains(Protection::WRITE), "mw"),
        (most.contains(Protection::EXECUTE), "me"),
        (shared, "ms"),
        (flag(AreaFlags::GROWS_DOWN), "gd"),
        (flag(AreaFlags::WATCH_MISSING), "um"),
        // The frame is no page that the process could own.
        (data, "pf"),
        (flag(AreaFlags::WATCH_WRITES), "uw"),
        (flag(AreaFlags::LOCKED), "lo"),
        (data, "io"),
        (flag(AreaFlags::SEQUENTIAL_ACCESS), "sr"),
        (flag(AreaFlags::RANDOM_ACCESS), "rr"),
        (flag(AreaFlags::DONT_FORK), "dc"),
        (flag(AreaFlags::KERNEL_PROVIDED), "de"),
        (flag(AreaFlags::LOCK_ON_FAULT), "lf"),
        (flag(AreaFlags::ACCOUNTED), "ac"),
        (flag(AreaFlags::NO_RESERVE), "nr"),
        (flag(AreaFlags::WIPE_ON_FORK), "wf"),
        (flag(AreaFlags::DONT_DUMP), "dd"),
        (flag(AreaFlags::HUGE_PAGE), "hg"),
        (flag(AreaFlags::NO_HUGE_PAGE), "nh"),
        (flag(AreaFlags::WATCH_MINOR), "ui"),
        (flag(AreaFlags::DROPPABLE), "dp"),
        (flag(AreaFlags::SEALED), "sl"),
    ] {
        if holds {
            write!(text, "{letters} ")?;
        }
    }
    Ok(())
}

/// A row of `smaps` or `meminfo`.
fn row(text: &mut Text, name: &str, width: usize, bytes: u64) -> Result<(), Errno> {
    let mut line = Line::new();
    line.push(name.as_bytes());
    line.byte(b':');
    line.pad(width + 1);
    line.decimal(bytes >> 10, 8);
    line.push(b" kB\n");
    text.bytes(&line.bytes[..line.length])
}

/// The rows about pages that `smaps` and `smaps_rollup` share. `rollup` has what of the parts is of shared memory.
fn usage_rows(
    text: &mut Text,
    usage: &PageUse,
    shares: &PageShares,
    locked: u64,
    rollup: Option<u64>,
) -> Result<(), Errno> {
    let bytes = |part: u64| part / PageShares::SCALE;
    row(text, "Rss", 15, usage.resident)?;
    row(text, "Pss", 15, bytes(shares.part))?;
    row(text, "Pss_Dirty", 15, bytes(shares.dirty_part))?;
    if let Some(shared) = rollup {
        row(text, "Pss_Anon", 15, bytes(shares.own_part))?;
        let files = shares.part.saturating_sub(shares.own_part + shared);
        row(text, "Pss_File", 15, bytes(files))?;
        row(text, "Pss_Shmem", 15, bytes(shared))?;
    }
    // Both were looked at one after the other.
    let private = usage.resident.saturating_sub(shares.shared);
    let private_dirty = usage.dirty.saturating_sub(shares.shared_dirty);
    for (name, bytes) in [
        ("Shared_Clean", shares.shared - shares.shared_dirty),
        ("Shared_Dirty", shares.shared_dirty),
        ("Private_Clean", private.saturating_sub(private_dirty)),
        ("Private_Dirty", private_dirty),
        ("Referenced", usage.accessed),
        ("Anonymous", usage.own),
        // Nothing is merged, as on a Linux where nobody has switched that on.
        ("KSM", 0),
        ("LazyFree", usage.lazy),
        ("AnonHugePages", usage.huge),
        ("ShmemPmdMapped", 0),
        ("FilePmdMapped", 0),
        ("Shared_Hugetlb", 0),
        ("Private_Hugetlb", 0),
        ("Swap", 0),
        ("SwapPss", 0),
        ("Locked", locked),
    ] {
        row(text, name, 15, bytes)?;
    }
    Ok(())
}

/// Whether large pages are wanted in an area and one fits.
fn is_large_eligible(area: &AreaLine) -> bool {
    const LARGE: u64 = 2 << 20;
    let first = area.start.next_multiple_of(LARGE);
    let refused = AreaFlags::NO_HUGE_PAGE | AreaFlags::GROWS_DOWN | AreaFlags::SHARED;
    area.flags.contains(AreaFlags::HUGE_PAGE)
        && !area.flags.intersects(refused)
        && area.object.is_none()
        && first + LARGE <= area.end
}

/// `smaps`
pub fn small_maps(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let space = subject.process.address_space();
    let of_objects = space.object_pages()?;
    let mut names = Names::default();
    for area in &areas(&subject.process) {
        map_line(area, &mut names, text)?;
        let usage = space.page_use(area.start..area.end);
        let shares = space.page_shares(area.start, &of_objects);
        // As on Linux, what is locked counts by its part.
        let locked = match area.flags.contains(AreaFlags::LOCKED) {
            true => shares.part / PageShares::SCALE,
            false => 0,
        };
        row(text, "Size", 15, area.length())?;
        row(text, "KernelPageSize", 15, BLOCK_SIZE)?;
        row(text, "MMUPageSize", 15, BLOCK_SIZE)?;
        usage_rows(text, &usage, &shares, locked, None)?;
        let large = is_large_eligible(area) && !space.is_small_only();
        writeln!(text, "THPeligible:           {}", u8::from(large))?;
        write!(text, "VmFlags: ")?;
        property_letters(area, text)?;
        writeln!(text)?;
    }
    Ok(())
}

/// `smaps_rollup`
pub fn small_maps_rollup(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let space = subject.process.address_space();
    let of_objects = space.object_pages()?;
    let areas = areas(&subject.process);
    let (mut all, mut all_shares) = (PageUse::default(), PageShares::default());
    let (mut locked, mut shared) = (0, 0);
    for area in &areas {
        let usage = space.page_use(area.start..area.end);
        all.resident += usage.resident;
        all.own += usage.own;
        all.accessed += usage.accessed;
        all.dirty += usage.dirty;
        all.huge += usage.huge;
        all.lazy += usage.lazy;
        let shares = space.page_shares(area.start, &of_objects);
        all_shares.add(&shares);
        if area.flags.contains(AreaFlags::LOCKED) {
            locked += shares.part / PageShares::SCALE;
        }
        if area.object.as_ref().is_some_and(Shown::is_shared_memory) {
            shared += shares.part - shares.own_part;
        }
    }
    let (start, end) = (
        areas.first().map_or(0, |area| area.start),
        areas.last().map_or(0, |area| area.end),
    );
    let line = alloc::format!("{start:08x}-{end:08x} ---p 00000000 00:00 0 ");
    writeln!(text, "{line:<73}[rollup]")?;
    usage_rows(text, &all, &all_shares, locked, Some(shared))
}

/// The sizes of all processes together, and what of memory they were promised and have locked, in bytes. What several
/// share counts for each.
fn of_all() -> (Sizes, u64, u64) {
    let (mut all, mut promised, mut locked) = (Sizes::default(), memory::promised_shared(), 0);
    for process in task::processes() {
        let space = process.address_space();
        all.resident += space.resident_bytes();
        all.own += space.own_bytes();
        all.huge += space.large_bytes();
        promised += space.committed_bytes();
        locked += space.locked_bytes();
    }
    (all, promised, locked)
}

/// `/proc/meminfo`. The image's pages are not part of the memory that is managed, so they are in no row.
pub fn memory_information(text: &mut Text) -> Result<(), Errno> {
    let counters = memory::counters();
    let (sizes, commitment, locked) = of_all();
    let (files, heap) = (memory::file_bytes(), memory::heap_counters());
    // What programs can do without is as good as free. It counts as Linux counts it: as pages of files that nobody used for
    // long. What files hold here has no other place, as in Linux's tmpfs, and counts as the memory of programs does.
    let forgettable = memory::forgettable_bytes().min(sizes.own);
    let (idle, active) = (memory::idle_bytes(), sizes.own - forgettable + files);
    let available = counters.free.saturating_sub(counters.reserve) + forgettable + idle;
    let rows = [
        ("MemTotal", counters.total),
        ("MemFree", counters.free),
        ("MemAvailable", available),
        ("Buffers", 0),
        ("Cached", files),
        ("SwapCached", 0),
        ("Active", active),
        ("Inactive", forgettable),
        ("Active(anon)", active),
        ("Inactive(anon)", 0),
        ("Active(file)", 0),
        ("Inactive(file)", forgettable),
        ("Unevictable", locked),
        ("Mlocked", locked),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", sizes.own),
        ("Mapped", sizes.resident.saturating_sub(sizes.own)),
        ("Shmem", files),
        ("KReclaimable", idle),
        ("Slab", heap.used),
        ("SReclaimable", 0),
        ("SUnreclaim", heap.used),
        ("KernelStack", memory::stack_bytes()),
        ("PageTables", memory::table_bytes()),
        ("CommitLimit", Overcommit::limit()),
        ("Committed_AS", commitment),
        ("VmallocTotal", 0),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
        ("AnonHugePages", sizes.huge),
        ("ShmemHugePages", 0),
        ("FileHugePages", 0),
        // Pith's own: what the kernel's heap has taken, used or not.
        ("KernelHeap", heap.claimed),
    ];
    for (name, bytes) in rows {
        row(text, name, 15, bytes)?;
    }
    for name in ["HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp"] {
        let name = alloc::format!("{name}:");
        writeln!(text, "{name:<16}{:>8}", 0)?;
    }
    row(text, "Hugepagesize", 15, 2 << 20)?;
    row(text, "Hugetlb", 15, 0)
}

/// `/proc/vmstat`
pub fn virtual_memory_statistics(text: &mut Text) -> Result<(), Errno> {
    let counters = memory::counters();
    let (sizes, _, locked) = of_all();
    let files = memory::file_bytes();
    let rows = [
        ("nr_free_pages", counters.free / BLOCK_SIZE),
        ("nr_mlock", locked / BLOCK_SIZE),
        ("nr_anon_pages", sizes.own / BLOCK_SIZE),
        ("nr_mapped", sizes.resident.saturating_sub(sizes.own) / BLOCK_SIZE),
        ("nr_file_pages", files / BLOCK_SIZE),
        ("nr_dirty", 0),
        ("nr_writeback", 0),
        ("nr_shmem", files / BLOCK_SIZE),
        ("nr_anon_transparent_hugepages", sizes.huge >> 21),
        ("nr_kernel_stack", memory::stack_bytes() >> 10),
        ("nr_page_table_pages", memory::table_bytes() / BLOCK_SIZE),
        ("pgpgin", 0),
        ("pgpgout", 0),
        ("pswpin", 0),
        ("pswpout", 0),
        (
            "pgfault",
            task::processes()
                .iter()
                .map(|process| process.address_space().fault_count())
                .sum(),
        ),
        ("pgmajfault", 0),
        ("pglazyfreed", memory::given_up_pages()),
        ("oom_kill", task::memory_killer::kills()),
        ("thp_fault_alloc", memory::large_pages_made()),
    ];
    for (name, value) in rows {
        writeln!(text, "{name} {value}")?;
    }
    Ok(())
}
