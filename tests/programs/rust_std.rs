//! The standard library of Rust on the machine: `rust_std panic|abort|exit|environment|DIRECTORY`.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, io, process};

fn words(text: &str) -> BTreeMap<&str, usize> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word).or_default() += 1;
    }
    counts.into_iter().collect()
}

fn files(directory: &str) -> io::Result<()> {
    let path = format!("{directory}/rust-std");
    fs::create_dir_all(format!("{path}/a/b"))?;
    let file = format!("{path}/a/file");
    fs::write(&file, b"first line\nsecond line\n")?;
    let mut handle = fs::OpenOptions::new().read(true).append(true).open(&file)?;
    writeln!(handle, "third line")?;
    handle.seek(SeekFrom::Start(6))?;
    let mut rest = String::new();
    handle.read_to_string(&mut rest)?;
    println!("{rest:?}");
    println!("length {}", fs::metadata(&file)?.len());
    fs::rename(&file, format!("{path}/a/b/moved"))?;
    fs::copy(format!("{path}/a/b/moved"), format!("{path}/copy"))?;
    let mut names: Vec<String> = fs::read_dir(&path)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    names.sort();
    println!("{names:?}");
    println!("{:?}", fs::read("/no/such/file").map_err(|error| error.kind()));
    fs::remove_dir_all(&path)?;
    println!("exists {}", fs::exists(&path)?);
    Ok(())
}

fn main() {
    match env::args().nth(1).as_deref() {
        Some("panic") => panic!("on purpose: {}", 6 * 7),
        Some("abort") => process::abort(),
        Some("exit") => process::exit(77),
        Some("environment") => {
            let sorted: BTreeMap<String, String> = env::vars().collect();
            println!("{sorted:?}");
            println!("{:?}", env::current_dir());
            return;
        }
        Some(directory) => {
            if let Err(error) = files(directory) {
                println!("files: {error}");
            }
        }
        None => {}
    }
    println!("{:?}", words("the quick brown fox and the lazy dog and the end"));
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    println!("slept {}", start.elapsed() >= Duration::from_millis(20));
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    println!("after 2023 {}", since.is_ok_and(|since| since.as_secs() > 1_700_000_000));
    let lines: Vec<String> = io::stdin().lock().lines().map_while(Result::ok).collect();
    println!("{lines:?}");
    std::panic::set_hook(Box::new(|_| eprintln!("a panic was caught")));
    let caught = std::panic::catch_unwind(|| {
        let empty: Vec<i32> = Vec::new();
        empty[lines_of_nothing()]
    });
    println!("caught {}", caught.is_err());
    let mut numbers: Vec<u64> = (0..100_000).map(|n| n * 2_654_435_761 % 1_000_003).collect();
    numbers.sort_unstable();
    println!("{:?}", numbers.iter().step_by(20_000).collect::<Vec<_>>());
    println!("{:.6} {:e}", std::f64::consts::PI.sqrt(), 1e300_f64.powf(0.5));
}

fn lines_of_nothing() -> usize {
    "".lines().count()
}
