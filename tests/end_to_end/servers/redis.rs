//! Redis: its kinds of values, expiry, transactions, scripts, messages, streams and calls that wait, by its protocol
//! (RESP2), and its own benchmark.

use super::Site;
use pith_end_to_end::guest::{Guest, Recipe};
use pith_end_to_end::namespace::run;
use std::fmt::{self, Write as _};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Commands sent before the first is answered.
const PIPELINED: usize = 5000;
/// Size of the large value.
const LARGE: usize = 8 << 20;

/// How the server is started: nothing is saved, which would take a second process.
pub fn recipe() -> Recipe {
    let command = [
        "/usr/bin/redis-server",
        "--save",
        "",
        "--appendonly",
        "no",
        "--protected-mode",
        "no",
        "--enable-debug-command",
        "yes",
    ];
    Recipe::new(&command, 6379)
        .options(&["-m", "512M"])
        .message("a second process can't be started .* it answers ENOSYS")
        .status(&[0])
}

/// Whether the server answers.
pub fn ready(guest: &Guest) -> Result<(), String> {
    Client::open(guest.first_address())?.expect("PING", "PONG")
}

pub fn check(site: &Site<'_>) -> Result<(), String> {
    site.serve(&recipe(), ready, |guest| {
        let address = guest.first_address();
        let mut client = Client::open(address)?;
        for (command, answer) in CONVERSATION {
            client.expect(command, answer)?;
        }
        pipeline(&mut client)?;
        large(&mut client)?;
        expiry(&mut client)?;
        waiting(address, &mut client)?;
        messages(address, &mut client)?;
        watched(address, &mut client)?;
        benchmark(address)
    })?;
    Ok(())
}

/// A command in words, and what [`Reply`] shows of its answer.
const CONVERSATION: &[(&str, &str)] = &[
    ("FLUSHALL", "OK"),
    // Strings.
    ("SET name Pith", "OK"),
    ("GET name", "Pith"),
    ("GET nobody", "nil"),
    ("SET name other NX", "nil"),
    ("APPEND name -4", "6"),
    ("GETRANGE name 0 3", "Pith"),
    ("SETRANGE name 5 five", "9"),
    ("STRLEN name", "9"),
    ("INCRBY number 41", "41"),
    ("INCRBYFLOAT number 0.5", "41.5"),
    (
        "INCR name",
        "error: ERR value is not an integer or out of range",
    ),
    ("MSET a 1 b 2 c 3", "OK"),
    ("MGET a b nobody c", "[1 2 nil 3]"),
    ("SETBIT bits 7 1", "0"),
    ("BITCOUNT bits", "1"),
    // Lists.
    ("RPUSH list one two three four", "4"),
    ("LPUSH list zero", "5"),
    ("LRANGE list 0 -1", "[zero one two three four]"),
    ("LINSERT list BEFORE two between", "6"),
    ("LREM list 0 between", "1"),
    ("LMOVE list other LEFT RIGHT", "zero"),
    ("LPOP list 2", "[one two]"),
    ("LLEN list", "2"),
    (
        "GET list",
        "error: WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    // Hashes.
    ("HSET hash one 1 two 2", "2"),
    ("HGET hash two", "2"),
    ("HINCRBY hash one 9", "10"),
    ("HMGET hash one none two", "[10 nil 2]"),
    ("HDEL hash two", "1"),
    ("HGETALL hash", "[one 10]"),
    // Sets.
    ("SADD left a b c", "3"),
    ("SADD right b c d", "3"),
    ("SINTERCARD 2 left right", "2"),
    ("SDIFF left right", "[a]"),
    ("SMISMEMBER left a d", "[1 0]"),
    ("SMOVE left right a", "1"),
    ("SCARD right", "4"),
    // Sorted sets.
    ("ZADD ranks 3 three 1 one 2 two", "3"),
    ("ZRANGE ranks 0 -1 WITHSCORES", "[one 1 two 2 three 3]"),
    ("ZINCRBY ranks 5 one", "6"),
    ("ZRANGEBYSCORE ranks (2 +inf", "[three one]"),
    ("ZRANK ranks one", "2"),
    ("ZPOPMAX ranks", "[one 6]"),
    // Places, and numbers that are nearly right.
    (
        "GEOADD places 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
        "2",
    ),
    ("GEODIST places Palermo Catania km", "166.2742"),
    ("PFADD visitors a b c a", "1"),
    ("PFCOUNT visitors", "3"),
    // Transactions.
    ("MULTI", "OK"),
    ("SET inside 1", "QUEUED"),
    ("LPUSH name x", "QUEUED"),
    ("INCR inside", "QUEUED"),
    (
        "EXEC",
        "[OK error: WRONGTYPE Operation against a key holding the wrong kind of value 2]",
    ),
    ("MULTI", "OK"),
    ("SET inside 9", "QUEUED"),
    ("DISCARD", "OK"),
    ("GET inside", "2"),
    // Scripts.
    (
        "EVAL return{KEYS[1],ARGV[1],redis.call('GET','a')} 1 key argument",
        "[key argument 1]",
    ),
    ("EVAL return{1,2,{3,'four'}} 0", "[1 2 [3 four]]"),
    (
        "EVAL return(redis.sha1hex('')) 0",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ),
    (
        "EVAL return\u{a0}} 0",
        "error: ERR Error compiling script (new function): user_script:1: unexpected symbol near '}'",
    ),
    (
        "EVAL local\u{a0}t=0;for\u{a0}i=1,100000\u{a0}do\u{a0}t=t+i\u{a0}end;return\u{a0}t 0",
        "5000050000",
    ),
    // Streams.
    ("XADD stream 1-1 kind start", "1-1"),
    ("XADD stream 2-1 kind end", "2-1"),
    (
        "XADD stream 1-5 kind late",
        "error: ERR The ID specified in XADD is equal or smaller than the target stream top item",
    ),
    ("XRANGE stream - +", "[[1-1 [kind start]] [2-1 [kind end]]]"),
    ("XGROUP CREATE stream workers 0", "OK"),
    (
        "XREADGROUP GROUP workers w1 COUNT 1 STREAMS stream >",
        "[[stream [[1-1 [kind start]]]]]",
    ),
    ("XACK stream workers 1-1", "1"),
    ("XLEN stream", "2"),
    // The space of keys.
    ("TYPE ranks", "zset"),
    ("RENAME name renamed", "OK"),
    ("EXISTS name renamed", "1"),
    ("COPY a copied", "1"),
    ("DEL a b c copied", "4"),
    ("OBJECT ENCODING hash", "listpack"),
    ("CONFIG GET appendonly", "[appendonly no]"),
    // By a second process, with a copy of the memory.
    ("BGSAVE", "Background saving started"),
];

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reply {
    Text(String),
    Error(String),
    Nothing,
    List(Vec<Reply>),
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Error(text) => write!(formatter, "error: {text}"),
            Self::Nothing => formatter.write_str("nil"),
            Self::List(list) => {
                let items: Vec<String> = list.iter().map(ToString::to_string).collect();
                write!(formatter, "[{}]", items.join(" "))
            }
        }
    }
}

/// A connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(text)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .and_then(|()| stream.set_nodelay(true))
            .map_err(text)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.0.get_mut().write_all(bytes).map_err(text)
    }

    fn ask(&mut self, command: &str) -> Result<Reply, String> {
        self.send(&encoded(command))?;
        self.receive()
    }

    fn receive(&mut self) -> Result<Reply, String> {
        let mut line = String::new();
        if self.0.read_line(&mut line).map_err(text)? == 0 {
            return Err("the connection ended".into());
        }
        let line = line.trim_end_matches(['\r', '\n']);
        let (kind, rest) = line.split_at_checked(1).ok_or("an empty answer")?;
        let number = || {
            rest.parse::<i64>()
                .map_err(|_| format!("this is no answer: {line:?}"))
        };
        match kind {
            "+" | ":" => Ok(Reply::Text(rest.into())),
            "-" => Ok(Reply::Error(rest.into())),
            "$" => {
                let Ok(length) = usize::try_from(number()?) else {
                    return Ok(Reply::Nothing);
                };
                let mut bytes = vec![0; length + 2];
                self.0.read_exact(&mut bytes).map_err(text)?;
                bytes.truncate(length);
                Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
            }
            "*" => match number()? {
                ..0 => Ok(Reply::Nothing),
                count => (0..count)
                    .map(|_| self.receive())
                    .collect::<Result<_, _>>()
                    .map(Reply::List),
            },
            _ => Err(format!("this is no answer: {line:?}")),
        }
    }

    fn expect(&mut self, command: &str, answer: &str) -> Result<(), String> {
        compare(command, &self.ask(command)?, answer)
    }
}

fn compare(command: &str, found: &Reply, answer: &str) -> Result<(), String> {
    match found.to_string() {
        found if found == answer => Ok(()),
        found => Err(format!(
            "{command} is answered with {found:?} and not {answer:?}"
        )),
    }
}

/// A command as the protocol has it. Words end at spaces; a no-break space stands for one that does not end a word.
fn encoded(command: &str) -> Vec<u8> {
    let words: Vec<String> = command
        .split(' ')
        .map(|word| word.replace('\u{a0}', " "))
        .collect();
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        // Writing to a text can't fail.
        let _ = write!(bytes, "${}\r\n{word}\r\n", word.len());
    }
    bytes.into_bytes()
}

/// Many commands on their way at once.
fn pipeline(client: &mut Client) -> Result<(), String> {
    let mut writer = client.0.get_ref().try_clone().map_err(text)?;
    let writing = thread::spawn(move || {
        let commands: Vec<u8> = (0..PIPELINED)
            .flat_map(|index| encoded(&format!("RPUSH pipeline {index}")))
            .collect();
        writer.write_all(&commands)
    });
    for index in 0..PIPELINED {
        compare("a pipeline", &client.receive()?, &(index + 1).to_string())?;
    }
    writing
        .join()
        .map_err(|_| "the writer failed")?
        .map_err(text)?;
    client.expect("LINDEX pipeline -1", &(PIPELINED - 1).to_string())
}

/// A value of several megabytes there and back.
fn large(client: &mut Client) -> Result<(), String> {
    let value: String = (0..LARGE)
        .map(|index| char::from(b'!' + (index * 31 % 89) as u8))
        .collect();
    client.expect(&format!("SET large {value}"), "OK")?;
    client.expect("GET large", &value)?;
    client.expect("DEL large", "1")
}

/// A key lives as long as it was told to.
fn expiry(client: &mut Client) -> Result<(), String> {
    client.expect("SET brief x PX 700", "OK")?;
    client.expect("SET long x EX 100", "OK")?;
    client.expect("GET brief", "x")?;
    thread::sleep(Duration::from_millis(1000));
    client.expect("GET brief", "nil")?;
    client.expect("GET long", "x")?;
    client.expect("PERSIST long", "1")?;
    client.expect("TTL long", "-1")
}

/// Waits until so many clients wait at the server.
fn wait_for_blocked(client: &mut Client, count: u32) -> Result<(), String> {
    let start = Instant::now();
    let expected = format!("blocked_clients:{count}\r\n");
    while !client.ask("INFO clients")?.to_string().contains(&expected) {
        if start.elapsed() > Duration::from_secs(30) {
            return Err("a client that should wait does not".into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Calls that wait: for an element that comes, and for one that does not.
fn waiting(address: SocketAddr, client: &mut Client) -> Result<(), String> {
    let mut waiting = Client::open(address)?;
    waiting.send(&encoded("BLPOP empty 0"))?;
    wait_for_blocked(client, 1)?;
    client.expect("RPUSH empty first second", "2")?;
    compare("BLPOP", &waiting.receive()?, "[empty first]")?;
    client.expect("LRANGE empty 0 -1", "[second]")?;
    waiting.send(&encoded("XREAD BLOCK 0 STREAMS news $"))?;
    wait_for_blocked(client, 1)?;
    client.expect("XADD news 7-7 k v", "7-7")?;
    compare("XREAD", &waiting.receive()?, "[[news [[7-7 [k v]]]]]")?;
    let start = Instant::now();
    waiting.expect("BLPOP nothing 0.3", "nil")?;
    match start.elapsed() {
        time if time < Duration::from_millis(250) => Err(format!("it waited for {time:?} only")),
        _ => Ok(()),
    }
}

/// Messages to those who want them.
fn messages(address: SocketAddr, client: &mut Client) -> Result<(), String> {
    let mut exact = Client::open(address)?;
    let mut pattern = Client::open(address)?;
    exact.expect("SUBSCRIBE news.sport", "[subscribe news.sport 1]")?;
    pattern.expect("PSUBSCRIBE news.*", "[psubscribe news.* 1]")?;
    client.expect("PUBLISH news.sport goal", "2")?;
    client.expect("PUBLISH news.weather rain", "1")?;
    client.expect("PUBLISH other x", "0")?;
    compare("a message", &exact.receive()?, "[message news.sport goal]")?;
    compare(
        "a message",
        &pattern.receive()?,
        "[pmessage news.* news.sport goal]",
    )?;
    compare(
        "a message",
        &pattern.receive()?,
        "[pmessage news.* news.weather rain]",
    )?;
    exact.expect("UNSUBSCRIBE news.sport", "[unsubscribe news.sport 0]")?;
    client.expect("PUBLISH news.sport late", "1")
}

/// A transaction does nothing when what it watches was changed.
fn watched(address: SocketAddr, client: &mut Client) -> Result<(), String> {
    let mut other = Client::open(address)?;
    for (change, answer) in [(true, "nil"), (false, "[OK]")] {
        client.expect("WATCH account", "OK")?;
        client.expect("MULTI", "OK")?;
        client.expect("SET account 100", "QUEUED")?;
        if change {
            other.expect("SET account 50", "OK")?;
        }
        client.expect("EXEC", answer)?;
    }
    other.expect("GET account", "100")
}

/// Redis's own benchmark, which has to come to its end.
fn benchmark(address: SocketAddr) -> Result<(), String> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    for (requests, depth) in [("1000", "1"), ("10000", "16")] {
        let report = run(
            "redis-benchmark",
            &[
                "-h",
                &host,
                "-p",
                &port,
                "-n",
                requests,
                "-P",
                depth,
                "-c",
                "4",
                "-t",
                "set,get,lpush,lpop,sadd,hset,mset",
                "--csv",
            ],
        )?;
        // A head, and one line for each test.
        if report.lines().count() != 8 || report.contains("rror") {
            return Err(format!("redis-benchmark says:\n{report}"));
        }
    }
    Ok(())
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}
