//! A DNS server on 127.0.0.1, over UDP and TCP, that says what a test wants, right or wrong.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

use hickory_resolver::proto::{
    op::{Edns, Message, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME, SRV},
    },
};

/// What the server does about one name and type.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Answers with these records, and sends those along.
    Records(Vec<Record>, Vec<Record>),
    /// Answers with a code and no record.
    Code(ResponseCode),
    /// Does not answer.
    Silence,
    /// Answers with bytes that are no message, but have the right id.
    Garbage,
    /// Answers with these records to a question that was not asked.
    WrongId(Vec<Record>),
}

type Zone = Arc<Mutex<HashMap<(Name, RecordType), Reply>>>;
type Asked = Arc<Mutex<Vec<(Name, RecordType, &'static str)>>>;

/// Runs until the process ends. A name of which it knows nothing does not exist; one of which it knows
/// another type has no record of this one.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    zone: Zone,
    asked: Asked,
}

impl Server {
    pub(crate) fn start() -> Self {
        // A port that is free for UDP may be taken for TCP.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let server = Self { addr: udp.local_addr().unwrap(), zone: Zone::default(), asked: Asked::default() };
        let (zone, asked) = (Arc::clone(&server.zone), Arc::clone(&server.asked));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((len, client)) = udp.recv_from(&mut buffer) {
                if let Some(reply) = respond(&buffer[..len], "udp", &zone, &asked) {
                    udp.send_to(&reply, client).unwrap();
                }
            }
        });
        let (zone, asked) = (Arc::clone(&server.zone), Arc::clone(&server.asked));
        thread::spawn(move || {
            while let Ok((stream, _)) = tcp.accept() {
                let (zone, asked) = (Arc::clone(&zone), Arc::clone(&asked));
                thread::spawn(move || serve(stream, &zone, &asked));
            }
        });
        server
    }

    /// From now on this is the reply.
    pub(crate) fn set(&self, name: &str, kind: RecordType, reply: Reply) {
        self.zone.lock().unwrap().insert((name_of(name), kind), reply);
    }

    /// From now on these are the addresses of the name, with a TTL of 5 s.
    pub(crate) fn set_a(&self, name: &str, hosts: impl IntoIterator<Item = u8>) {
        let records = hosts.into_iter().map(|host| a(name, 5, host)).collect();
        self.set(name, RecordType::A, Reply::Records(records, vec![]));
    }

    /// From now on this reply is given for A and AAAA.
    pub(crate) fn set_both(&self, name: &str, reply: Reply) {
        self.set(name, RecordType::A, reply.clone());
        self.set(name, RecordType::AAAA, reply);
    }

    /// From now on the name does not exist.
    pub(crate) fn forget(&self, name: &str) {
        let name = name_of(name);
        self.zone.lock().unwrap().retain(|(known, _), _| *known != name);
    }

    /// What was asked since the last call: name, type and transport.
    pub(crate) fn take_asked(&self) -> Vec<(Name, RecordType, &'static str)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn serve(mut stream: TcpStream, zone: &Zone, asked: &Asked) -> io::Result<()> {
    loop {
        let mut len = [0; 2];
        stream.read_exact(&mut len)?;
        let mut request = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut request)?;
        if let Some(reply) = respond(&request, "tcp", zone, asked) {
            stream.write_all(&u16::try_from(reply.len()).unwrap().to_be_bytes())?;
            stream.write_all(&reply)?;
        }
    }
}

fn respond(request: &[u8], transport: &'static str, zone: &Zone, asked: &Asked) -> Option<Vec<u8>> {
    let request = Message::from_vec(request).unwrap();
    let payload = usize::from(request.edns.as_ref().expect("a query with EDNS").max_payload());
    assert_eq!(payload, 1232);
    let query = request.queries[0].clone();
    asked.lock().unwrap().push((query.name().clone(), query.query_type(), transport));
    let reply = {
        let zone = zone.lock().unwrap();
        let exists = || zone.keys().any(|(name, _)| name == query.name());
        zone.get(&(query.name().clone(), query.query_type())).cloned().unwrap_or_else(|| {
            Reply::Code(if exists() { ResponseCode::NoError } else { ResponseCode::NXDomain })
        })
    };
    let mut message = Message::response(request.id, request.op_code);
    message.add_query(query).set_edns(Edns::new());
    match reply {
        Reply::Records(answers, additional) => {
            message.add_answers(answers).add_additionals(additional);
        }
        Reply::Code(code) => message.metadata.response_code = code,
        Reply::Silence => return None,
        Reply::Garbage => {
            let mut garbage = vec![0xff; 64];
            garbage[..2].copy_from_slice(&request.id.to_be_bytes());
            return Some(garbage);
        }
        Reply::WrongId(answers) => {
            message.metadata.id = request.id.wrapping_add(1);
            message.add_answers(answers);
        }
    }
    let whole = message.to_vec().unwrap();
    if transport == "tcp" || whole.len() <= payload {
        return Some(whole);
    }
    message.answers.truncate(10);
    message.additionals.clear();
    message.metadata.truncation = true;
    Some(message.to_vec().unwrap())
}

pub(crate) fn name_of(name: &str) -> Name {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).unwrap()
}

fn record(name: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(name_of(name), ttl, data)
}

pub(crate) fn a(name: &str, ttl: u32, host: u8) -> Record {
    record(name, ttl, RData::A(A::new(10, 0, 0, host)))
}

pub(crate) fn aaaa(name: &str, ttl: u32, host: u16) -> Record {
    record(name, ttl, RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host)))
}

pub(crate) fn cname(name: &str, ttl: u32, target: &str) -> Record {
    record(name, ttl, RData::CNAME(CNAME(name_of(target))))
}

pub(crate) fn srv(name: &str, ttl: u32, target: &str, port: u16) -> Record {
    record(name, ttl, RData::SRV(SRV::new(0, 0, port, name_of(target))))
}
