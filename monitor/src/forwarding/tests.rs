//! Forwarding to a listener that stands for the router: with a backlog of one, and slow to accept.

use super::*;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown};
use std::thread;

fn publish() -> (Option<Forwarding>, SocketAddr, SocketAddr) {
    publish_at(private_address().into())
}

fn publish_at(address: IpAddr) -> (Option<Forwarding>, SocketAddr, SocketAddr) {
    // A port that is free now; hardly anybody else asks for this address.
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let ports = PublishedPorts {
        address,
        host: port,
        guest: 80,
        count: 1,
        datagrams: false,
    };
    let (forwarding, inner) = Forwarding::start(&[ports]).unwrap();
    let router = SocketAddr::from((inner[0].address, inner[0].host));
    (forwarding, (address, port).into(), router)
}

fn listen_as_the_router_does(address: SocketAddr) -> TcpListener {
    let listener = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    sockopt::set_socket_reuseaddr(&listener, true).unwrap();
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    listener.into()
}

/// Sends back what comes, after a while.
fn serve(listener: TcpListener, connections: usize) {
    let mut threads = Vec::new();
    for _ in 0..connections {
        thread::sleep(Duration::from_millis(1));
        let (mut stream, _) = listener.accept().unwrap();
        threads.push(thread::spawn(move || {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        }));
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

fn exchange(address: SocketAddr, length: usize, seed: u8) {
    let mut stream = connect_to(address);
    let bytes: Vec<u8> = (0..length)
        .map(|index| (index * 7) as u8 ^ (index >> 8) as u8 ^ seed)
        .collect();
    stream.write_all(&bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert!(back == bytes, "{} other bytes than {length}", back.len());
}

#[test]
fn connections_that_come_at_once_are_all_served() {
    let (_forwarding, address, router) = publish();
    let clients: Vec<_> = (0..100_u8)
        .map(|seed| {
            thread::spawn(move || exchange(address, 10_000 + usize::from(seed) * 100, seed))
        })
        .collect();
    // The router comes later than the first clients.
    thread::sleep(Duration::from_millis(20));
    let server = thread::spawn(move || serve(listen_as_the_router_does(router), 100));
    for client in clients {
        client.join().unwrap();
    }
    server.join().unwrap();
}

#[test]
fn clients_come_by_version_6_as_well() {
    let (_forwarding, address, router) = publish_at(Ipv6Addr::LOCALHOST.into());
    assert!(address.is_ipv6());
    let server = thread::spawn(move || serve(listen_as_the_router_does(router), 1));
    exchange(address, 10_000, 6);
    server.join().unwrap();
}

#[test]
fn more_than_all_buffers_hold_is_carried() {
    let (_forwarding, address, router) = publish();
    let listener = listen_as_the_router_does(router);
    // The server reads all before it writes, and the client the other way around: each direction has to be held back.
    let server = thread::spawn(move || serve(listener, 1));
    exchange(address, 8 << 20, 3);
    server.join().unwrap();
}

#[test]
fn a_reset_is_no_orderly_end() {
    let (_forwarding, address, router) = publish();
    let listener = listen_as_the_router_does(router);
    let mut client = connect_to(address);
    let (server, _) = listener.accept().unwrap();
    sockopt::set_socket_linger(&server, Some(Duration::ZERO)).unwrap();
    drop(server);
    let error = client.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn the_end_is_told_late_or_once_the_machine_has_answered() {
    let (_forwarding, address, router) = publish();
    let listener = listen_as_the_router_does(router);
    let client = connect_to(address);
    client.shutdown(Shutdown::Write).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let begin = Instant::now();
    assert_eq!(server.read(&mut [0; 10]).unwrap(), 0);
    assert!(
        begin.elapsed() > SETTLING / 2,
        "it was told after {:?}",
        begin.elapsed()
    );

    let mut client = connect_to(address);
    client.shutdown(Shutdown::Write).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let begin = Instant::now();
    server.write_all(b"x").unwrap();
    assert_eq!(server.read(&mut [0; 10]).unwrap(), 0);
    assert!(
        begin.elapsed() < SETTLING,
        "it was told after {:?}",
        begin.elapsed()
    );
    assert_eq!(client.read(&mut [0; 10]).unwrap(), 1);
}

#[test]
fn half_of_a_connection_may_end_before_the_other() {
    let (_forwarding, address, router) = publish();
    let listener = listen_as_the_router_does(router);
    let mut client = connect_to(address);
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"first").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "first");
    client.write_all(b"then").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    text.clear();
    server.read_to_string(&mut text).unwrap();
    assert_eq!(text, "then");
}

#[test]
fn a_taken_port_is_named_and_datagrams_are_left_alone() {
    let (_forwarding, address, _) = publish();
    let mut ports = PublishedPorts {
        address: address.ip(),
        host: address.port(),
        guest: 1,
        count: 1,
        datagrams: false,
    };
    let (taken, error) = Forwarding::start(&[ports]).unwrap_err();
    assert_eq!((taken, error.kind()), (address, io::ErrorKind::AddrInUse));
    ports.datagrams = true;
    let (forwarding, inner) = Forwarding::start(&[ports]).unwrap();
    assert!(forwarding.is_none());
    assert_eq!(inner, [ports]);
}

#[test]
fn tokens_are_read_as_they_were_written() {
    for token in [
        Token::Knock(0),
        Token::Knock(7),
        Token::Answer(3),
        Token::Pair(0, Side::Client),
        Token::Pair(12_345_678_901, Side::Router),
    ] {
        assert_eq!(Token::from_number(token.number()), token);
        assert_ne!(token.number(), STOP);
    }
}
