#!/usr/bin/env bash
# Installs the Debian packages that the project needs, if they are missing. Sourced by quickstart.sh and
# tests/run.sh. `packages_need build` for building and running, `packages_need test` for the tests as well, `bench` for all of tests/bench.
set -u

PACKAGES_BUILD="gcc g++ cmake ninja-build pkg-config protobuf-c-compiler libuv1-dev libssl-dev librocksdb-dev
    libprotobuf-c-dev libunbound-dev dns-root-data node-llhttp libjansson-dev libyaml-dev libsodium-dev
    libcurl4-openssl-dev libidn2-dev libnng-dev libxxhash-dev uthash-dev libjemalloc-dev libisal-dev libc6-dev ca-certificates python3 libcmocka-dev"
# The second half: what foreign mail programs (tests/clients) are run by or linked with; they themselves are unpacked only.
PACKAGES_TEST="clang-14 libclang-rt-14-dev swaks libnet-ssleay-perl curl openssl
    libdb5.3 libnsl2 libicu72 libsasl2-2 libgsasl18 libsecret-1-0 libgnutls-dane0 libidn12 libevent-2.1-7 libgssapi-krb5-2
    libio-socket-ssl-perl libauthen-sasl-perl libberkeleydb-perl libnetaddr-ip-perl libnet-dns-perl libnet-server-perl
    php8.2-cli nodejs bsdextrautils procps iproute2 util-linux bind9-dnsutils"

# tests/bench/run.sh stores, growth, page: clients of etcd and RabbitMQ, pictures, what counts system calls and instructions.
PACKAGES_BENCH="librabbitmq-dev libnghttp2-dev python3-matplotlib strace valgrind"

packages_need() {
    local list="$PACKAGES_BUILD" missing="" name sudo=""

    [ "$1" = test ] && list="$list $PACKAGES_TEST"
    [ "$1" = bench ] && list="$list $PACKAGES_BENCH"
    for name in $list; do
        dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $name"
    done
    [ -z "$missing" ] && return 0
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "These Debian packages are missing:$missing" >&2
            echo "Install them as root (apt-get install$missing), or install sudo, then run this again." >&2
            return 1
        fi
        sudo=sudo
    fi
    echo "== installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get update -qq || echo "apt-get update failed; trying with the lists at hand" >&2
    # shellcheck disable=SC2086 # the list is words
    if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/tmp/angarium-apt.$$ 2>&1; then
        tail -20 /tmp/angarium-apt.$$ >&2
        echo "apt-get could not install:$missing" >&2
        echo "Look at the lines above; a working Debian 12 mirror in /etc/apt/sources.list is needed." >&2
        return 1
    fi
    rm -f /tmp/angarium-apt.$$
}
