# shellcheck shell=bash disable=SC2154 # $id, $state and the settings come from `lab`
# Namespaces, links and addresses.
#
#   10.78.0.0/24, fd78::/64   the bridge: publisher, dns and pods have one each
#   10.77.0.0/16, fd77::/64   the pods' addresses, routed via `pods`
#
# The routed link makes 1,000 pods one neighbour: the kernel holds 1,024 in its
# table for all namespaces together, and the limit belongs to the machine.
# An isolated pod is reached on the bridge directly and has its address alone.
# The bridge has a namespace too, so that the machine's own stays as it was.

readonly DNS_ADDRESS=10.78.0.53
readonly PUBLISHER_LINK=10 PODS_LINK=20 DNS_LINK=53 # last part of 10.78.0.x and fd78::x

# Lower wins, and a refused route (faults.sh) must beat that of an isolated pod.
readonly METRIC_POD=100

network_up() {
    local k places=(publisher pods dns)
    for ((k = 1; k <= isolated; k++)); do places+=("pod-$k"); done

    make_namespaces net "${places[@]}"
    write_resolv_conf "${places[@]}"
    bridge_batch "${places[@]}" | ip -n "hc-$id-net" -batch -
    link_batch $PUBLISHER_LINK | ip -n "hc-$id-publisher" -batch -
    link_batch $DNS_LINK | ip -n "hc-$id-dns" -batch -
    pods_batch | ip -n "hc-$id-pods" -batch -
    for ((k = 1; k <= isolated; k++)); do
        isolated_batch "$k" | ip -n "hc-$id-pod-$k" -batch -
    done
}

make_namespaces() {
    printf "netns add hc-$id-%s\n" "$@" | ip -batch -
}

# `ip netns exec` lays this file over /etc/resolv.conf, in its own mount namespace.
write_resolv_conf() {
    local place dir
    for place in "$@"; do
        dir=/etc/netns/hc-$id-$place
        # Once more: another lab's `down` may remove the empty parent in between.
        mkdir -p "$dir" 2>/dev/null || mkdir -p "$dir"
        cat >"$dir/resolv.conf" <<CONF
nameserver $DNS_ADDRESS
search demo.svc.cluster.local svc.cluster.local cluster.local
options ndots:5
CONF
    done
}

bridge_batch() {
    echo "link set lo up"
    echo "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
    echo "link set br0 up"
    local place
    for place in "$@"; do
        echo "link add $place type veth peer name eth0 netns hc-$id-$place"
        echo "link set $place master br0 up"
    done
}

# The link of a namespace that has an address on the bridge.
link_batch() { # LAST_PART
    echo "link set lo up"
    echo "link set eth0 up"
    echo "address add 10.78.0.$1/24 dev eth0"
    [[ $ipv6 == no ]] || echo "address add fd78::$1/64 dev eth0 nodad"
    [[ $1 == "$PODS_LINK" ]] || shared_routes
    isolated_routes 0
}

shared_routes() {
    echo "route add 10.77.0.0/16 via 10.78.0.$PODS_LINK"
    [[ $ipv6 == no ]] || echo "route add fd77::/64 via fd78::$PODS_LINK"
}

isolated_routes() { # EXCEPT
    local k
    for ((k = 1; k <= isolated; k++)); do
        ((k != $1)) || continue
        echo "route add $(pod_address "$k" no)/32 dev eth0 metric $METRIC_POD"
        [[ $ipv6 == no ]] || echo "route add $(pod_address "$k" yes)/128 dev eth0 metric $METRIC_POD"
    done
}

pods_batch() {
    link_batch $PODS_LINK
    local k
    for ((k = isolated + 1; k <= isolated + pods; k++)); do
        echo "address add 10.77.$(((k - 1) / 250)).$(((k - 1) % 250 + 1))/32 dev eth0"
    done
    [[ $ipv6 == yes ]] || return 0
    printf 'address add fd77::%x/128 dev eth0 nodad\n' $(seq $((isolated + 1)) $((isolated + pods)))
}

isolated_batch() { # K
    local own
    echo "link set lo up"
    echo "link set eth0 up"
    own=$(pod_address "$1" no)
    echo "address add $own/32 dev eth0"
    echo "route add 10.78.0.0/24 dev eth0 src $own"
    if [[ $ipv6 == yes ]]; then
        own=$(pod_address "$1" yes)
        echo "address add $own/128 dev eth0 nodad"
        echo "route add fd78::/64 dev eth0 src $own"
    fi
    shared_routes
    isolated_routes "$1"
}

# 250 pods to each third part, so that pod 7 is 10.77.0.7 and none ends in 0 or 255.
pod_address() { # K IPV6
    if [[ $2 == yes ]]; then
        printf 'fd77::%x\n' "$1"
    else
        echo "10.77.$((($1 - 1) / 250)).$((($1 - 1) % 250 + 1))"
    fi
}

is_ipv6() { [[ $1 == *:* ]]; }

lab_exists() { [[ -e /run/netns/hc-$id-publisher ]]; }

# A lab may be half built or half gone: every trace of it counts.
lab_ids() {
    {
        ip netns list | sed -nE 's/^hc-(.+)-(net|dns|publisher|pods)( .*)?$/\1/p'
        find "${TMPDIR:-/tmp}" -maxdepth 1 -type d -name 'headcast-lab-*' -printf '%f\n' |
            sed -nE 's/^headcast-lab-([A-Za-z0-9_-]+)$/\1/p'
    } | sort -u
}

namespaces_of() { # ID
    ip netns list | sed -nE "s/^(hc-$1-(net|dns|publisher|pods|pod-[0-9]+))( .*)?\$/\1/p"
}

# Safe to repeat, and safe on a lab that was never there.
remove_lab() { # ID
    local namespace namespaces
    mapfile -t namespaces < <(namespaces_of "$1")
    stop_processes "${namespaces[@]}"
    for namespace in "${namespaces[@]}"; do
        # Another `down` may have been faster.
        ip netns del "$namespace" 2>/dev/null || [[ ! -e /run/netns/$namespace ]]
    done
    local dir
    for dir in "/etc/netns/hc-$1-"*; do
        # Not those of a lab whose id only begins like this one.
        [[ $dir =~ /hc-$1-(publisher|pods|dns|pod-[0-9]+)$ ]] || continue
        rm -rf "$dir"
    done
    rmdir /etc/netns 2>/dev/null || true
    rm -rf "${TMPDIR:-/tmp}/headcast-lab-$1"
}

stop_processes() { # NAMESPACE...
    local signal namespace pids=()
    for namespace in "$@"; do
        mapfile -t -O ${#pids[@]} pids < <(ip netns pids "$namespace")
    done
    for signal in TERM KILL; do
        ((${#pids[@]})) || return 0
        kill -s "$signal" "${pids[@]}" 2>/dev/null || true
        ! wait_until 2 all_gone "${pids[@]}" || return 0
    done
    fail "processes survive: ${pids[*]}"
}

# A dead process that its parent has not asked about yet (Z) counts as gone.
all_gone() { # PID...
    local pid rest
    for pid in "$@"; do
        # The name, in parentheses, may hold anything; the state follows it.
        rest=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
        [[ $rest =~ \)\ [ZX]\ [0-9\ -]*$ ]] || return 1
    done
}
