#!/usr/bin/env bash
# Finds or starts what the tests talk to, PostgreSQL and RabbitMQ, and says which. In this order: what the
# environment names, what runs on this machine, the programs that are installed (a private server on a port of
# its own), Debian packages (as root), a Docker engine. Tests that kill or wipe a server start one of their own,
# for which the programs themselves must be there; it says where they aren't. Prints what to export on standard
# output:
#
#     eval "$(deploy/services.sh)"      finds or starts
#     deploy/services.sh stop           stops what it has started; services it found are left alone
set -euo pipefail

home=${OVERNIGHT_SERVICES_DIR:-/var/tmp/overnight-services-$(id -u)}
pg_port=54329
mq_port=56729

say() { echo "services: $*" >&2; }
fail() { say "$*"; exit 1; }

# --- PostgreSQL

pg_answers() { # URL without a database
    if command -v psql >/dev/null; then
        # Never asks for a password: a server that wants another one than the URL has is not for us.
        PGCONNECT_TIMEOUT=3 psql -w "$1/postgres" -Atqc 'SELECT 1' >/dev/null 2>&1
    else
        pg_greets "$1"
    fi
}

# Without psql: an open port may be Docker's, with nobody behind it yet. A server answers who comes in with R, for
# how to prove it, and 0 where no proof is asked for; a password in the URL is taken on trust.
pg_greets() { # URL without a database
    local who=${1#*://} address=${1##*@} user answer length
    who=${who%@*}
    user=${who%%:*}
    case $address in *:*) ;; *) address=$address:5432 ;; esac
    length=$((4 + 4 + 5 + ${#user} + 1 + 9 + 9 + 1))
    answer=$( (exec 3<>"/dev/tcp/${address%:*}/${address##*:}" &&
        printf "\\x00\\x00\\x00\\x$(printf %02x $length)\\x00\\x03\\x00\\x00user\\x00$user\\x00database\\x00postgres\\x00\\x00" >&3 &&
        timeout 3 head -c 9 <&3 | od -An -tx1) 2>/dev/null) || return 1
    answer=${answer// /}
    case $who in
        *:*) [ "${answer:0:2}" = 52 ] ;;
        *) [ "$answer" = 520000000800000000 ] ;;
    esac
}

pg_programs() { # the newest that is installed
    local found
    found=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
    if [ -z "$found" ] && command -v initdb >/dev/null; then found=$(dirname "$(command -v initdb)"); fi
    [ -n "$found" ] && [ -x "$found/initdb" ] && echo "$found"
}

as_postgres() { # PostgreSQL refuses to run as root
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

pg_private() {
    local programs
    programs=$(pg_programs) || return 1
    if [ ! -s "$home/postgres/PG_VERSION" ]; then
        mkdir -p "$home/postgres"
        if [ "$(id -u)" = 0 ]; then chown postgres "$home/postgres"; fi
        as_postgres "$programs/initdb" --pgdata "$home/postgres" --auth trust --username postgres >/dev/null
    fi
    as_postgres "$programs/pg_ctl" --pgdata "$home/postgres" --wait --log "$home/postgres/log" start \
        --options "-p $pg_port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$home/postgres" >/dev/null
}

postgres() {
    local private="postgres://postgres@127.0.0.1:$pg_port"
    for url in ${TEST_POSTGRES_URL:-} postgres://postgres@127.0.0.1:5432 "$private"; do
        if pg_answers "$url"; then
            say "PostgreSQL runs at ${url##*@}"
            pg_url=$url
            return
        fi
    done
    if [ -n "${TEST_POSTGRES_URL:-}" ]; then fail "no PostgreSQL answers at TEST_POSTGRES_URL"; fi
    if pg_programs >/dev/null; then
        pg_private && say "PostgreSQL started from $(pg_programs) on port $pg_port"
    elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        packages postgresql
        pg_private && say "PostgreSQL installed from Debian's packages and started on port $pg_port"
    elif docker info >/dev/null 2>&1; then
        docker run --detach --rm --name overnight-postgres --publish "127.0.0.1:$pg_port:5432" \
            --env POSTGRES_HOST_AUTH_METHOD=trust postgres:17 >/dev/null
        say "PostgreSQL started by Docker on port $pg_port"
    else
        fail "no PostgreSQL: install it, run this as root on Debian, start a Docker engine, or set TEST_POSTGRES_URL"
    fi
    until_answers pg_answers "$private" || fail "PostgreSQL did not answer at $private; its log is in $home/postgres/log"
    pg_url=$private
}

# --- RabbitMQ

mq_answers() { # HOST:PORT; a broker greets whoever says AMQP 0-9-1
    local greeting
    greeting=$( (exec 3<>"/dev/tcp/${1%:*}/${1##*:}" && printf 'AMQP\x00\x00\x09\x01' >&3 &&
        timeout 5 head -c 1 <&3 | od -An -tu1) 2>/dev/null) || return 1
    [ "${greeting// /}" = 1 ]
}

mq_programs() {
    ls -d /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin 2>/dev/null | sort -V | tail -1 | grep .
}

mq_private() {
    local programs
    programs=$(mq_programs) || return 1
    mkdir -p "$home/rabbitmq"
    printf 'listeners.tcp.1 = 127.0.0.1:%s\n' "$mq_port" >"$home/rabbitmq/rabbitmq.conf"
    echo '[].' >"$home/rabbitmq/enabled_plugins"
    mq_environment "$programs/rabbitmq-server" -detached 2>/dev/null
}

mq_environment() { # a node of its own, beside whatever else runs
    HOME=$home/rabbitmq ERL_EPMD_PORT=43699 ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_NODENAME=overnight@localhost RABBITMQ_DIST_PORT=$((mq_port + 1)) \
        RABBITMQ_MNESIA_BASE=$home/rabbitmq/mnesia RABBITMQ_LOG_BASE=$home/rabbitmq/log \
        RABBITMQ_CONFIG_FILE=$home/rabbitmq/rabbitmq.conf RABBITMQ_PID_FILE=$home/rabbitmq/pid \
        RABBITMQ_ENABLED_PLUGINS_FILE=$home/rabbitmq/enabled_plugins RABBITMQ_CONF_ENV_FILE=$home/rabbitmq/none \
        "$@"
}

rabbitmq() {
    local private="127.0.0.1:$mq_port" given=${TEST_AMQP_URL:-}
    if [ -n "$given" ]; then
        local address=${given##*@}
        mq_answers "${address%%/*}" || fail "no RabbitMQ answers at TEST_AMQP_URL"
        say "RabbitMQ runs at ${address%%/*}"
        mq_url=$given
        return
    fi
    for address in 127.0.0.1:5672 "$private"; do
        if mq_answers "$address"; then
            say "RabbitMQ runs at $address"
            mq_url="amqp://guest:guest@$address"
            return
        fi
    done
    if mq_programs >/dev/null; then
        mq_private && say "RabbitMQ started from $(mq_programs) on port $mq_port"
    elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        packages rabbitmq-server
        mq_private && say "RabbitMQ installed from Debian's packages and started on port $mq_port"
    elif docker info >/dev/null 2>&1; then
        docker run --detach --rm --name overnight-rabbitmq --publish "127.0.0.1:$mq_port:5672" rabbitmq:3.13 >/dev/null
        say "RabbitMQ started by Docker on port $mq_port"
    else
        fail "no RabbitMQ: install it, run this as root on Debian, start a Docker engine, or set TEST_AMQP_URL"
    fi
    until_answers mq_answers "$private" || fail "RabbitMQ did not answer at $private; its log is in $home/rabbitmq/log"
    mq_url="amqp://guest:guest@$private"
}

# --- both

packages() {
    say "installing $* from Debian's packages"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >&2
}

until_answers() { # at most a minute
    for _ in $(seq 120); do
        if "$1" "$2"; then return 0; fi
        sleep 0.5
    done
    return 1
}

# What answers may be elsewhere, or in a container.
programs() {
    local missing=()
    pg_programs >/dev/null || missing+=(postgresql)
    mq_programs >/dev/null || missing+=(rabbitmq-server)
    if [ ${#missing[@]} -gt 0 ]; then
        say "the programs of ${missing[*]} are not installed here: tests that start a server of their own will fail"
        say "(Debian: apt-get install ${missing[*]})"
    fi
}

stop() {
    if [ -s "$home/postgres/postmaster.pid" ]; then
        as_postgres "$(pg_programs)/pg_ctl" --pgdata "$home/postgres" --mode fast stop >/dev/null && say "PostgreSQL stopped"
    fi
    if [ -s "$home/rabbitmq/pid" ]; then
        mq_environment "$(mq_programs)/rabbitmqctl" shutdown >/dev/null && say "RabbitMQ stopped"
    fi
    if docker info >/dev/null 2>&1; then
        docker stop overnight-postgres overnight-rabbitmq >/dev/null 2>&1 && say "containers stopped"
    fi
    return 0
}

case ${1:-start} in
    start)
        postgres
        rabbitmq
        programs
        echo "export TEST_POSTGRES_URL=$pg_url"
        echo "export TEST_AMQP_URL=$mq_url"
        ;;
    stop) stop ;;
    *) fail "take start or stop" ;;
esac
