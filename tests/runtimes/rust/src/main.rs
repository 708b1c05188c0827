//! tokio and rayon: tasks, timers, channels, streams over a socket pair, parallel iterators.

use rayon::prelude::*;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

async fn tasks() {
    let (sender, mut receiver) = mpsc::channel(4);
    for task in 0..50u64 {
        let sender = sender.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(task % 5)).await;
            sender.send(task * task).await.expect("somebody receives");
        });
    }
    drop(sender);
    let mut sum = 0;
    while let Some(value) = receiver.recv().await {
        sum += value;
    }
    println!("tasks: {sum}");

    let started = Instant::now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    println!("slept: {}", started.elapsed() >= Duration::from_millis(20));
    let late = tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
    println!("timed out: {}", late.is_err());

    let (mut one, mut other) = tokio::net::UnixStream::pair().expect("a socket pair");
    let echo = tokio::spawn(async move {
        let mut buffer = [0; 1024];
        loop {
            match other.read(&mut buffer).await.expect("a read") {
                0 => break,
                length => other.write_all(&buffer[..length]).await.expect("a write"),
            }
        }
    });
    let mut echoed = 0;
    for round in 0..100 {
        let message = vec![round as u8; 100 + round];
        one.write_all(&message).await.expect("a write");
        let mut back = vec![0; message.len()];
        one.read_exact(&mut back).await.expect("a read");
        echoed += usize::from(back == message);
    }
    drop(one);
    echo.await.expect("the task ends");
    println!("echoed: {echoed}");
    let computed = tokio::task::spawn_blocking(|| (1..=20u64).product::<u64>()).await;
    println!("blocking: {computed:?}");
}

fn main() {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(tasks());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("a pool");
    pool.install(|| {
        let sum: u64 = (0..1_000_000u64).into_par_iter().map(|value| value % 7).sum();
        let mut numbers: Vec<u32> = (0..100_000u32).map(|value| value.wrapping_mul(2_654_435_761)).collect();
        numbers.par_sort_unstable();
        println!("parallel: {sum} {}", numbers.is_sorted());
    });
}
