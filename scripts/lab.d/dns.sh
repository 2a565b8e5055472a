# shellcheck shell=bash disable=SC2154 # $id, $state and the settings come from `lab`
# The DNS server: BIND in a namespace of its own, without any file, port or key
# in common with another BIND on this machine.
#
# named.conf has a view for each way to fail, all loaded from the start, and two
# more: `backstage`, seen from 127.0.0.1 only, which takes the updates, and
# `cluster`, which shows the same zone to everybody. To fail is to change which
# view the cluster sees, so that no query falls in between, and the true records
# stay where they are, open to change.

readonly NAME=headless-udp.demo.svc.cluster.local
readonly ZONE=demo.svc.cluster.local
# One update message holds at most 64 KiB, an AAAA record in it takes 28 bytes.
readonly UPDATE_RECORDS_MAX=2200
readonly CHAIN_MAX=50

dns_up() { # NO_RECORDS
    local records=()
    mkdir "$state/dns"
    if [[ $1 == no ]]; then
        mapfile -t records < <(all_pod_addresses)
    fi
    echo "$NAME" >"$state/dns/owner"
    {
        zone_head
        record_lines "$NAME." "${records[@]}"
    } >"$state/dns/true.zone"
    zone_head >"$state/dns/nxdomain.zone"
    {
        zone_head
        echo "$NAME. TXT \"neither A nor AAAA\""
    } >"$state/dns/empty.zone"
    zone_head >"$state/dns/root.zone"
    start_named off
    wait_until 10 dns_is_heard || fail "DNS does not answer the publisher; named says:
$(tail -n 30 "$state/dns/named.log")"
}

all_pod_addresses() {
    local k
    for ((k = 1; k <= pods + isolated; k++)); do
        pod_address "$k" no
        [[ $ipv6 == no ]] || pod_address "$k" yes
    done
}

# The negative TTL is the last number.
zone_head() {
    echo "\$TTL $ttl"
    echo "@ SOA ns.$ZONE. lab.$ZONE. 1 3600 600 86400 $ttl"
    echo "@ NS ns.$ZONE."
    echo "ns.$ZONE. A $DNS_ADDRESS"
}

record_lines() { # OWNER ADDRESS...
    local owner=$1 address
    shift
    for address in "$@"; do
        if is_ipv6 "$address"; then echo "$owner $ttl AAAA $address"; else echo "$owner $ttl A $address"; fi
    done
}

# The version is what tells `await_mode` that this configuration is in force.
named_conf() { # MODE
    local listen="127.0.0.1; $DNS_ADDRESS;" no_limit=''
    # Garbage comes from another program at the address that the cluster asks.
    [[ $1 != garbage ]] || listen="127.0.0.1;"
    # Newer releases hold at most 100 records at a name, older ones do not know the option.
    [[ $(named -C 2>/dev/null) != *max-records-per-type* ]] || no_limit="max-records-per-type 0;"
    cat <<CONF
options {
    directory "$state/dns";
    pid-file "$state/dns/named.pid";
    session-keyfile none;
    lock-file none;
    version "lab $1";
    listen-on { $listen };
    listen-on-v6 { none; };
    recursion no;
    dnssec-validation no;
    empty-zones-enable no;
    minimal-responses yes;
    notify no;
    max-udp-size 1232;
    max-cache-size 4m;
    $no_limit
};
controls { };
view backstage {
    match-clients { 127.0.0.0/8; };
    zone "." { type primary; file "root.zone"; };
    zone "$ZONE" { type primary; file "true.zone"; allow-update { any; }; };
};
$(view nxdomain "$1" 'type primary; file "nxdomain.zone";')
$(view empty "$1" 'type primary; file "empty.zone";')
$(view servfail "$1" 'type primary; file "there-is-no-such.zone";')
$(view cluster cluster 'in-view backstage;')
CONF
}

# In a namespace without a way out, what is not in the zone does not exist: names
# tried along the search list are answered at once.
view() { # NAME SEEN_NAME ZONE_CLAUSES
    local who=none
    [[ $1 != "$2" ]] || who=any
    cat <<CONF
view $1 {
    match-clients { $who; };
    zone "." { in-view backstage; };
    zone "$ZONE" { $3 };
};
CONF
}

start_named() { # MODE
    named_conf "$1" >"$state/dns/named.conf"
    echo "$1" >"$state/dns/mode"
    in_dns timeout 30 named -n 1 -c "$state/dns/named.conf" -L "$state/dns/named.log" </dev/null >"$state/dns/start.log" 2>&1 ||
        fail "named does not start:
$(tail -n 30 "$state/dns/start.log" "$state/dns/named.log" 2>&1)
lab: where AppArmor confines named, it may not read $state"
    await_mode "$1"
}

switch_mode() { # MODE
    [[ $1 == garbage ]] || stop_daemon garbage
    named_conf "$1" >"$state/dns/named.conf"
    echo "$1" >"$state/dns/mode"
    kill -HUP "$(daemon_pid named)"
    await_mode "$1"
    [[ $1 != garbage ]] || start_garbage
}

await_mode() {
    wait_until 20 mode_is "$1" || fail "DNS does not reach '$1'; named says:
$(tail -n 30 "$state/dns/named.log")"
}

mode_is() {
    [[ $(in_dns dig @127.0.0.1 +time=1 +tries=1 +short version.bind CH TXT 2>/dev/null) == "\"lab $1\"" ]] || return 1
    answers_as_told in_dns
}

dns_is_heard() { answers_as_told ip netns exec "hc-$id-publisher"; }

# The zone is there in every mode but two; a server that answers may still not
# have loaded it.
answers_as_told() { # HOW_TO_RUN...
    local mode status=NOERROR
    mode=$(cat "$state/dns/mode")
    [[ $mode != garbage ]] || return 0
    [[ $mode != servfail ]] || status=SERVFAIL
    [[ $("$@" dig "@$DNS_ADDRESS" +time=1 +tries=1 "$ZONE" SOA 2>/dev/null) == *"status: $status"* ]]
}

start_garbage() {
    in_dns python3 "$lab_d/garbage-dns.py" "$DNS_ADDRESS" "$state/dns/garbage.pid" </dev/null >"$state/dns/garbage.log" 2>&1 &
    wait_until 30 test -s "$state/dns/garbage.pid" || fail "the garbage responder does not start:
$(cat "$state/dns/garbage.log")"
}

in_dns() { ip netns exec "hc-$id-dns" "$@"; }

# Prints the id of a daemon of this lab, or fails. A pid file alone is no proof.
daemon_pid() { # named|garbage
    local pid
    pid=$(cat "$state/dns/$1.pid" 2>/dev/null) || return 1
    ip netns pids "hc-$id-dns" | grep -x "$pid"
}

stop_daemon() { # named|garbage
    local pid signal
    for signal in TERM KILL; do
        pid=$(daemon_pid "$1") || break
        kill -s "$signal" "$pid" 2>/dev/null || true
        wait_until 3 daemon_is_gone "$1" || true
    done
    rm -f "$state/dns/$1.pid"
}

daemon_is_gone() { ! daemon_pid "$1" >/dev/null; }

cmd_dns() {
    local verb=${words[0]:-}
    words=("${words[@]:1}")
    if [[ $verb == stop ]]; then allow_options drop; else allow_options; fi
    case $verb in
        add | del | set) ((${#words[@]})) || usage "dns $verb needs addresses" ;;
        fail) [[ ${words[*]} =~ ^(servfail|nxdomain|empty|garbage|off)$ ]] || usage "dns fail servfail, nxdomain, empty, garbage or off" ;;
        chain) allow_words 1 1 && need_number "the chain" "${words[0]}" 0 $CHAIN_MAX ;;
        clear | show | update | stop | start) allow_words 0 0 ;;
        *) usage "dns add, del, set, clear, show, update, stop, start, fail or chain, not '$verb'" ;;
    esac
    need_lab
    case $verb in
        stop) dns_stop ;;
        start) dns_start ;;
        *)
            daemon_pid named >/dev/null || fail "the DNS server is stopped: 'lab dns start' first"
            "dns_$verb"
            ;;
    esac
}

dns_add() {
    read_addresses
    record_lines "$(owner)." "${words[@]}" | sed 's/^/update add /' | send_updates
}

dns_del() {
    read_addresses
    record_lines "$(owner)." "${words[@]}" | awk '{ print "update delete", $1, $3, $4 }' | send_updates
}

dns_set() {
    read_addresses
    {
        delete_lines "$(owner)"
        record_lines "$(owner)." "${words[@]}" | sed 's/^/update add /'
    } | send_updates
}

dns_clear() { delete_lines "$(owner)" | send_updates; }

dns_show() {
    local type
    for type in A AAAA; do
        in_dns dig @127.0.0.1 +tcp +time=2 +tries=1 +short "$(owner)" $type
    done | sort -V
}

# TTL and zone are set beforehand; the caller's lines may still change them.
dns_update() {
    { cat; echo send; } | nsupdate_backstage
}

owner() { cat "$state/dns/owner"; }

delete_lines() { # NAME
    echo "update delete $1. A"
    echo "update delete $1. AAAA"
}

# `words` become addresses; a `-` stands for those on stdin.
read_addresses() {
    local word all=()
    for word in "${words[@]}"; do
        if [[ $word == - ]]; then
            mapfile -t -O ${#all[@]} all
        else
            all+=("$word")
        fi
    done
    words=()
    for word in "${all[@]}"; do
        word=${word//[[:space:]]/}
        [[ -n $word ]] || continue
        is_address "$word" || usage "not an address: '$word'"
        words+=("$word")
    done
    ((${#words[@]})) || usage "no addresses: 'lab dns clear' removes them all"
}

is_address() {
    local part='(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
    [[ $1 =~ ^$part(\.$part){3}$ || $1 =~ ^[0-9a-fA-F:]*:[0-9a-fA-F:.]*$ ]]
}

# Up to UPDATE_RECORDS_MAX lines take effect as one change.
send_updates() {
    awk -v most=$UPDATE_RECORDS_MAX '{ print } NR % most == 0 { print "send" } END { print "send" }' | nsupdate_backstage
}

# -v is for TCP: a thousand records do not fit into a UDP message.
nsupdate_backstage() {
    {
        printf 'server 127.0.0.1\nzone %s\nttl %s\n' $ZONE "$ttl"
        cat
    } | in_dns nsupdate -v -t 20 || fail "the records could not be changed; more in $state/dns/named.log"
}

# A chain of N: NAME -> hop-1 -> ... -> hop-N, and the addresses are at hop-N.
dns_chain() {
    local n=$((10#${words[0]})) old new k from=$NAME addresses
    old=$(owner)
    new=$NAME
    ((n == 0)) || new=hop-$n.$ZONE
    mapfile -t addresses < <(dns_show)
    {
        delete_lines "$old"
        echo "update delete $NAME. CNAME"
        for ((k = 1; k <= CHAIN_MAX; k++)); do echo "update delete hop-$k.$ZONE."; done
        for ((k = 1; k <= n; k++)); do
            echo "update add $from. $ttl CNAME hop-$k.$ZONE."
            from=hop-$k.$ZONE
        done
        record_lines "$new." "${addresses[@]}" | sed 's/^/update add /'
    } | send_updates
    echo "$new" >"$state/dns/owner"
}

dns_stop() {
    if [[ ${options[drop]:-no} == yes ]]; then
        silence_on
    else
        stop_daemon garbage
        stop_daemon named
    fi
}

dns_start() {
    silence_off
    daemon_pid named >/dev/null || {
        start_named "$(cat "$state/dns/mode")"
        [[ $(cat "$state/dns/mode") != garbage ]] || start_garbage
    }
    wait_until 5 dns_is_heard || fail "DNS does not answer the publisher"
}

# Only what comes over the link is silenced: updates from within still arrive.
silence_on() {
    in_dns nft -f - <<'NFT'
table inet hc_silence
delete table inet hc_silence
table inet hc_silence {
    chain in {
        type filter hook input priority 0;
        iifname "eth0" meta l4proto { tcp, udp } th dport 53 drop
    }
}
NFT
}

silence_off() { in_dns nft delete table inet hc_silence 2>/dev/null || true; }

dns_fail() { switch_mode "${words[0]}"; }

dns_status() {
    local mode
    daemon_pid named >/dev/null || { echo stopped; return; }
    mode=$(cat "$state/dns/mode")
    [[ $mode == off ]] && mode='answers' || mode="fails: $mode"
    in_dns nft list table inet hc_silence >/dev/null 2>&1 && mode+=', but is not heard (stop --drop)'
    echo "$mode; records: $(dns_show | wc -l) at $(owner)"
}
