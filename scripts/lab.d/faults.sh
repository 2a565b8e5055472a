# shellcheck shell=bash disable=SC2154 # $id, $state and the settings come from `lab`
# What goes wrong between publisher and pods: loss, a slow link, refused sends.

# Marks the routes that are ours to remove.
readonly ROUTE_PROTOCOL=201
# Lower wins: it beats METRIC_POD.
readonly METRIC_REFUSED=50

cmd_drop() {
    local at=${options[at]:-pods}
    [[ $at == pods || $at == publisher ]] || usage "--at pods or --at publisher, not '$at'"
    if [[ ${options[show]:-no} == yes ]]; then
        allow_options show
        allow_words 0 0
        need_lab
        drop_show
        return
    fi
    allow_words 1 1
    if [[ ${words[0]} == off ]]; then
        allow_options at
        need_lab
        # Without --at, off is off everywhere.
        [[ -v options[at] ]] || drop_off publisher
        drop_off "$at"
    else
        allow_options at burst
        local per_million burst=${options[burst]:-1}
        per_million=$(per_million "${words[0]}") || usage "a percentage from 0 to 100, not '${words[0]}'"
        need_number --burst "$burst" 1 10000
        need_lab
        drop_on "$at" "$per_million" $((10#$burst))
    fi
}

per_million() {
    awk -v p="${1%\%}" 'BEGIN { if (p !~ /^([0-9]+\.?[0-9]*|\.[0-9]+)$/ || p > 100) exit 1; printf "%d\n", p * 10000 + .5 }'
}

# What is decided for each datagram by itself needs each by itself: a batch sent as one (GSO) has to be cut
# before it meets the rules, and the sender's link does that.
drop_on() { # AT PER_MILLION BURST
    local namespace
    for namespace in $(receivers "$1"); do
        drop_table "$namespace" "$2" "$3" | ip netns exec "$namespace" nft -f -
    done
    for namespace in $(senders "$1"); do
        ip -n "$namespace" link set eth0 gso_max_segs 1
    done
}

drop_table() { # NAMESPACE PER_MILLION BURST
    echo 'table inet hc_drop'
    echo 'delete table inet hc_drop'
    echo 'table inet hc_drop {'
    echo 'counter seen {}'
    echo 'counter dropped {}'
    # Each pod loses what is sent to it in bursts of its own, however much goes to the others.
    local k ipv4='' ipv6_=''
    if (($3 > 1)) && [[ $1 == "hc-$id-pods" ]]; then
        for ((k = isolated + 1; k <= isolated + pods; k++)); do
            echo "chain pod-$k { $(drop_rule "$2" "$3" "$k")"
            echo '}'
            ipv4+="$(pod_address "$k" no) : jump pod-$k, "
            ipv6_+="$(pod_address "$k" yes) : jump pod-$k, "
        done
    fi
    cat <<'NFT'
    chain in {
        type filter hook prerouting priority -350;
        iifname != "eth0" accept
        meta l4proto != udp accept
        udp sport 53 accept
        udp dport 53 accept
        counter name seen
NFT
    if [[ -n $ipv4 ]]; then
        echo "ip daddr vmap { $ipv4 }"
        [[ $ipv6 == no ]] || echo "ip6 daddr vmap { $ipv6_ }"
    else
        drop_rule "$2" "$3" 0
    fi
    echo '}'
    echo '}'
}

# Alone, chance decides for each. In bursts, they are counted: of so many, some in a row are dropped, which ones
# differs by K.
drop_rule() { # PER_MILLION BURST K
    local chance=''
    if (($1 < 1000000 && $2 == 1)); then
        chance="numgen random mod 1000000 < $1"
    elif (($1 == 0)); then
        return
    elif (($1 < 1000000)); then
        local every=$((($2 * 1000000 + $1 / 2) / $1))
        local first=$(($3 * 37 % (every - $2 + 1)))
        chance="numgen inc mod $every $first-$((first + $2 - 1))"
    fi
    echo "$chance counter name dropped drop"
}

drop_off() { # AT
    local namespace
    for namespace in $(receivers "$1"); do
        ip netns exec "$namespace" nft delete table inet hc_drop 2>/dev/null || true
    done
    for namespace in $(senders "$1"); do
        ip -n "$namespace" link set eth0 gso_max_segs 65535
    done
}

drop_show() {
    local namespace
    for namespace in $(receivers pods) $(receivers publisher); do
        { ip netns exec "$namespace" nft list counters table inet hc_drop 2>/dev/null || true; } |
            awk -v place="${namespace#"hc-$id-"}" '
                /counter/ { name = $2 }
                /packets/ { count[name] = $2 }
                END { if ("seen" in count) printf "%s dropped=%d seen=%d\n", place, count["dropped"], count["seen"] }'
    done
}

receivers() { # AT
    if [[ $1 == publisher ]]; then echo "hc-$id-publisher"; else pod_namespaces; fi
}

senders() { # AT
    if [[ $1 == publisher ]]; then pod_namespaces; else echo "hc-$id-publisher"; fi
}

pod_namespaces() {
    echo "hc-$id-pods"
    local k
    for ((k = 1; k <= isolated; k++)); do echo "hc-$id-pod-$k"; done
}

# On the publisher's link the limit is above any send buffer that an ordinary process may ask for, so that the
# buffer is full (EAGAIN) before the queue is (a silent drop). On the way to a pod nobody notices a full queue.
cmd_squeeze() {
    allow_options at burst limit
    allow_words 1 1
    local at=${options[at]:-publisher} namespace=hc-$id-publisher link=eth0 limit=4mb
    [[ $at == publisher || $at =~ ^pod-[0-9]{1,9}$ ]] || usage "--at publisher or --at pod-K, not '$at'"
    need_lab
    if [[ $at != publisher ]]; then
        need_number "the isolated pod" "${at#pod-}" 1 "$isolated"
        # The bridge's end of its link.
        namespace=hc-$id-net link=pod-$((10#${at#pod-})) limit=20kb
    fi
    if [[ ${words[0]} == off ]]; then
        ip netns exec "$namespace" tc qdisc del dev "$link" root 2>/dev/null || true
        return
    fi
    ip netns exec "$namespace" tc qdisc replace dev "$link" root tbf \
        rate "${words[0]}" burst "${options[burst]:-3000}" limit "${options[limit]:-$limit}" ||
        usage "squeeze RATE as in 1mbit or 64kbit; --burst and --limit in bytes, or as in 64kb"
}

cmd_refuse() { # block|unreachable|noroute
    allow_options off
    if [[ ${options[off]:-no} == no ]] && ((${#words[@]} == 0)); then
        usage "$1 needs an address"
    fi
    ((${#words[@]} == 0)) || read_addresses
    need_lab
    local undo=''
    [[ ${options[off]:-no} == no ]] || undo=_off
    case $1 in
        block) "block$undo" "${words[@]}" ;;
        unreachable) "refuse_route$undo" unreachable "${words[@]}" ;;
        # `throw` ends the search in the table that would have had a route.
        noroute) "refuse_route$undo" throw "${words[@]}" ;;
    esac
}

# A drop on the way out, unlike one further on, is told to the sender.
block() {
    {
        cat <<'NFT'
table inet hc_block {
    set ipv4 { type ipv4_addr; }
    set ipv6 { type ipv6_addr; }
    chain out { type filter hook output priority 0; }
}
flush chain inet hc_block out
add rule inet hc_block out ip daddr @ipv4 drop
add rule inet hc_block out ip6 daddr @ipv6 drop
NFT
        local address
        for address in "$@"; do echo "add element inet hc_block $(set_of "$address") { $address }"; done
    } | ip netns exec "hc-$id-publisher" nft -f -
}

block_off() {
    if (($# == 0)); then
        ip netns exec "hc-$id-publisher" nft delete table inet hc_block 2>/dev/null || true
        return
    fi
    local address
    for address in "$@"; do
        ip netns exec "hc-$id-publisher" nft delete element inet hc_block "$(set_of "$address")" "{ $address }" 2>/dev/null || true
    done
}

set_of() { if is_ipv6 "$1"; then echo ipv6; else echo ipv4; fi; }

refuse_route() { # TYPE ADDRESS...
    local type=$1 address
    shift
    for address in "$@"; do
        echo "route replace $type $(host_prefix "$address") metric $METRIC_REFUSED proto $ROUTE_PROTOCOL"
    done | ip -n "hc-$id-publisher" -batch -
}

refuse_route_off() { # TYPE [ADDRESS...]
    local type=$1 family address
    shift
    if (($# == 0)); then
        for family in -4 -6; do
            ip -n "hc-$id-publisher" $family route flush type "$type" proto $ROUTE_PROTOCOL
        done
        return
    fi
    for address in "$@"; do
        ip -n "hc-$id-publisher" route del "$type" "$(host_prefix "$address")" metric $METRIC_REFUSED 2>/dev/null || true
    done
}

host_prefix() { if is_ipv6 "$1"; then echo "$1/128"; else echo "$1/32"; fi; }

faults_status() {
    local publisher=hc-$id-publisher squeezed blocked family
    drop_show | sed 's/^/drop        /'
    squeezed=$(ip netns exec "$publisher" tc qdisc show dev eth0 root | grep -o 'rate.*' || true)
    [[ -z $squeezed ]] || echo "squeeze     publisher $squeezed"
    ip netns exec "hc-$id-net" tc qdisc show |
        sed -nE 's/^qdisc tbf .* dev (pod-[0-9]+) root.*(rate.*)/squeeze     \1 \2/p'
    blocked=$(ip netns exec "$publisher" nft list table inet hc_block 2>/dev/null | tr -d '\n\t,' | grep -oP 'elements = \{\K[^}]*' | xargs || true)
    [[ -z $blocked ]] || echo "block       $blocked"
    for family in -4 -6; do
        ip -n "$publisher" $family route show proto $ROUTE_PROTOCOL
    done | awk '$1 == "throw" { $1 = "noroute" } { printf "%-11s %s\n", $1, $2 }'
}
