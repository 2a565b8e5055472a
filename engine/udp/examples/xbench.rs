//! scratch
use headcast_udp::*;
use std::net::*;
use std::os::fd::AsFd;
fn cpu() -> f64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut ts) };
    ts.tv_sec as f64 * 1e9 + ts.tv_nsec as f64
}
fn main() {
    let n: usize = 100;
    let bytes: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let peers: Vec<SocketAddr> =
        (0..n).map(|i| SocketAddr::from(([10, 77, 0, 1 + i as u8], 12000))).collect();
    let (socket, _) = egress("0.0.0.0:0".parse().unwrap(), 4 << 20).unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut routes = Routes::open().unwrap();
    let ways: Vec<Way> =
        routes.look_up(&peers, [port, port]).unwrap().into_iter().map(|w| w.expect("way")).collect();
    let (_, q) = routes.interface(ways[0].interface).unwrap();
    let templates = peers
        .iter()
        .zip(&ways)
        .map(|(p, w)| Template::new(SocketAddr::new(w.source, port), *p, &w.hop).unwrap())
        .collect();
    let mut xdp = Xdp::open(ways[0].interface, q, 4 << 20).unwrap();
    eprintln!("frames {} queue {}", xdp.frames(), xdp.queue());
    let mut lane = Lane::new(templates);
    let mut batch = Batch::new(&peers, CALL_MAX);
    let d = vec![0x5a; bytes];
    let m = 200;
    let mut calls = 0;
    let mut x = |lane: &mut Lane| {
        let t = cpu();
        for _ in 0..m {
            lane.begin(true);
            let p = lane.flush(&mut xdp, &d);
            assert!(p.sent == n && p.outcome == Outcome::Done, "{p:?}");
            calls += p.calls;
        }
        (cpu() - t) / (m * n) as f64
    };
    let mut b = |batch: &mut Batch| {
        let t = cpu();
        for _ in 0..m {
            batch.begin(0, true);
            let p = batch.flush(socket.as_fd(), &d, 0);
            assert!(p.sent == n);
        }
        (cpu() - t) / (m * n) as f64
    };
    let (mut xs, mut bs, mut rs) = (vec![], vec![], vec![]);
    for i in 0..40 {
        let (p, q) = if i % 2 == 0 {
            let p = x(&mut lane);
            (p, b(&mut batch))
        } else {
            let q = b(&mut batch);
            (x(&mut lane), q)
        };
        xs.push(p);
        bs.push(q);
        rs.push(p / q);
    }
    for v in [&mut xs, &mut bs, &mut rs] {
        v.sort_by(f64::total_cmp);
    }
    println!(
        "{bytes} B: xdp {:.0} ns, batch {:.0} ns, ratio {:.3} ({:.3}-{:.3}), calls/msg {:.2}",
        xs[20],
        bs[20],
        rs[20],
        rs[5],
        rs[35],
        calls as f64 / (40 * m) as f64
    );
}
