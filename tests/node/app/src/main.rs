//! `app`: an application that asks for Azure tokens as it did under AAD Pod Identity.
//!
//! ```text
//! app            asks both endpoints until SIGTERM; prints every failure, and each first answer after one
//! app once       asks each once; exits with 1 if one failed
//! app load N S   asks IMDS over N connections at a time for S seconds; prints how many answers were tokens
//! app nothing    sleeps for ever
//! ```
//!
//! Each line it prints is `ENDPOINT STATUS MILLISECONDS BODY`; the status is 0 where no answer came, and the reason
//! stands for the body. The tokens it prints open nothing but a simulation.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGTERM;

const QUERY: &str = "resource=https%3A%2F%2Fmanagement.azure.com%2F";
const PAUSE: Duration = Duration::from_millis(100);
/// Longer than any wait that the proxy allows itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// One way to ask for a token.
struct Endpoint {
    name: &'static str,
    /// Host and port.
    address: String,
    /// Path with its query.
    path: String,
    /// The header that proves that the request is meant.
    header: String,
}

struct Answer {
    status: u16,
    body: String,
    took: Duration,
}

fn main() -> ExitCode {
    let endpoints = [Endpoint::imds(), Endpoint::app_service()];
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => watch(&endpoints),
        ["once"] => once(&endpoints),
        ["load", connections, seconds] => match (connections.parse(), seconds.parse()) {
            (Ok(connections), Ok(seconds)) => load(&endpoints[0], connections, seconds),
            _ => ExitCode::from(64),
        },
        ["nothing"] => loop {
            thread::park();
        },
        _ => ExitCode::from(64),
    }
}

fn watch(endpoints: &[Endpoint]) -> ExitCode {
    let told_to_end = Arc::new(AtomicBool::new(false));
    // Fails only for signals that can't be handled.
    let _ = signal_hook::flag::register(SIGTERM, Arc::clone(&told_to_end));
    let mut well = vec![false; endpoints.len()];
    while !told_to_end.load(Ordering::Relaxed) {
        for (endpoint, well) in endpoints.iter().zip(&mut well) {
            let answer = endpoint.ask();
            if !answer.is_token() || !*well {
                endpoint.print(&answer);
            }
            *well = answer.is_token();
        }
        thread::sleep(PAUSE);
    }
    ExitCode::SUCCESS
}

fn once(endpoints: &[Endpoint]) -> ExitCode {
    let mut exit = ExitCode::SUCCESS;
    for endpoint in endpoints {
        let answer = endpoint.ask();
        endpoint.print(&answer);
        if !answer.is_token() {
            exit = ExitCode::FAILURE;
        }
    }
    exit
}

fn load(endpoint: &Endpoint, connections: usize, seconds: u64) -> ExitCode {
    let end = Instant::now() + Duration::from_secs(seconds);
    let (tokens, failures) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                while Instant::now() < end {
                    let answer = endpoint.ask();
                    let counter = if answer.is_token() {
                        &tokens
                    } else {
                        &failures
                    };
                    if !answer.is_token() && counter.load(Ordering::Relaxed) == 0 {
                        endpoint.print(&answer);
                    }
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let (tokens, failures) = (tokens.into_inner(), failures.into_inner());
    println!("load {tokens} {failures}");
    ExitCode::from(u8::from(failures > 0))
}

impl Endpoint {
    fn imds() -> Self {
        let url = variable("IMDS_ENDPOINT", "http://169.254.169.254");
        let url = format!("{url}/metadata/identity/oauth2/token?api-version=2018-02-01&{QUERY}");
        Self::at("imds", &url, "Metadata: true".to_owned())
    }

    fn app_service() -> Self {
        let url = variable(
            "IDENTITY_ENDPOINT",
            "http://localhost:8000/metadata/identity/oauth2/token",
        );
        let url = format!("{url}?api-version=2019-08-01&{QUERY}");
        let secret = variable("IDENTITY_HEADER", "true");
        Self::at("app-service", &url, format!("X-IDENTITY-HEADER: {secret}"))
    }

    fn at(name: &'static str, url: &str, header: String) -> Self {
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
        Self {
            name,
            address: if has_port {
                host.to_owned()
            } else {
                format!("{host}:80")
            },
            path: path.to_owned(),
            header,
        }
    }

    fn ask(&self) -> Answer {
        let start = Instant::now();
        let (status, body) = match self.exchange() {
            Ok(reply) => parts(&reply),
            Err(error) => (0, error.to_string()),
        };
        Answer {
            status,
            body,
            took: start.elapsed(),
        }
    }

    fn exchange(&self) -> io::Result<String> {
        let mut addresses = self.address.to_socket_addrs()?;
        let address = addresses.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (path, host, header) = (&self.path, &self.address, &self.header);
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nConnection: close\r\n\r\n"
        )?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    }

    fn print(&self, answer: &Answer) {
        let body = answer.body.replace('\n', " ");
        println!(
            "{} {} {} {body}",
            self.name,
            answer.status,
            answer.took.as_millis()
        );
    }
}

impl Answer {
    fn is_token(&self) -> bool {
        self.status == 200 && self.body.contains("access_token")
    }
}

fn variable(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}

/// Status and body of a reply, 0 for what is no reply.
fn parts(reply: &str) -> (u16, String) {
    let status = reply
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    match (status, reply.split_once("\r\n\r\n")) {
        (Some(status), Some((_, body))) => (status, body.to_owned()),
        _ => (0, format!("no reply: {reply:?}")),
    }
}
