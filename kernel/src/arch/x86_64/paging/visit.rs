//! Ways through the tables of a program.

use core::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Calls `action` for each entry of a small page in a range, as far as there are tables.
pub(super) fn visit(table: u64, level: u32, base: u64, start: u64, end: u64, action: &mut dyn FnMut(u64, &AtomicU64)) {
    let span = PAGE_SIZE << (9 * level);
    let first = index(start.max(base), level);
    for slot in first..512 {
        let address = base + slot as u64 * span;
        if address >= end {
            break;
        }
        let item = entry(table, slot);
        if level == 0 {
            action(address, item);
            continue;
        }
        let value = item.load(Ordering::Relaxed);
        if value & PRESENT != 0 && !is_large_at(value, level) {
            visit(value & ADDRESS, level - 1, address, start.max(address), end, action);
        }
    }
}

/// Whether any page in a range belongs to the process alone.
pub(super) fn has_own(table: u64, level: u32, base: u64, start: u64, end: u64) -> bool {
    let span = PAGE_SIZE << (9 * level);
    for slot in index(start.max(base), level)..512 {
        let address = base + slot as u64 * span;
        if address >= end {
            break;
        }
        let value = entry(table, slot).load(Ordering::Relaxed);
        let own = if level == 0 || is_large_at(value, level) {
            value & (PRESENT | PARKED) != 0 && value & OWN != 0
        } else {
            value & PRESENT != 0 && has_own(value & ADDRESS, level - 1, address, start.max(address), end)
        };
        if own {
            return true;
        }
    }
    false
}

/// Whether an entry of a level is a large page and no table.
pub(super) fn is_large_at(value: u64, level: u32) -> bool {
    level == 1 && is_large(value)
}

/// Calls `action` for each large page of which some part lies in a range.
pub(super) fn visit_large(root: u64, start: u64, end: u64, action: &mut dyn FnMut(u64, &AtomicU64)) {
    visit_large_below(root, 3, 0, start, end, action);
}

fn visit_large_below(table: u64, level: u32, base: u64, start: u64, end: u64, action: &mut dyn FnMut(u64, &AtomicU64)) {
    let span = PAGE_SIZE << (9 * level);
    for slot in index(start.max(base), level)..512 {
        let address = base + slot as u64 * span;
        if address >= end {
            break;
        }
        let item = entry(table, slot);
        let value = item.load(Ordering::Relaxed);
        if level == 1 {
            if is_large(value) {
                action(address, item);
            }
        } else if value & PRESENT != 0 {
            visit_large_below(value & ADDRESS, level - 1, address, start.max(address), end, action);
        }
    }
}

/// How many tables there are below one.
pub(super) fn count_tables(table: u64, level: u32) -> u64 {
    let slots = if level == 3 { 256 } else { 512 };
    let values = (0..slots).map(|slot| entry(table, slot).load(Ordering::Relaxed));
    values
        .filter(|value| value & PRESENT != 0)
        // One table for each entry: a large page keeps it for the time when it is split.
        .map(|value| {
            1 + if level == 1 {
                0
            } else {
                count_tables(value & ADDRESS, level - 1)
            }
        })
        .sum()
}
