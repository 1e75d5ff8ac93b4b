#!/bin/sh
# Writes .env: .env.example with a fresh random value for every secret that this deployment owns.
set -eu
cd "$(dirname "$0")/.."

if [ -e .env ]; then
    echo ".env is there already and stays as it is" >&2
    exit 1
fi

random_hex() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }
random_fernet_key() { head -c 32 /dev/urandom | base64 | tr '+/' '-_'; }

umask 077 # the file is for its owner alone, from its first byte on
sed \
    -e "s|^FERNET_KEY=\$|&$(random_fernet_key)|" \
    -e "s|^JWT_SECRET=\$|&$(random_hex 32)|" \
    -e "s|^SECRET_KEY=\$|&$(random_hex 32)|" \
    -e "s|^POSTGRES_PASSWORD=\$|&$(random_hex 24)|" \
    -e "s|^REDIS_PASSWORD=\$|&$(random_hex 24)|" \
    -e "s|^WAREHOUSE_PASSWORD=\$|&$(random_hex 24)|" \
    -e "s|^WAREHOUSE_ADMIN_PASSWORD=\$|&$(random_hex 24)|" \
    -e "s|^AIRFLOW_ADMIN_PASSWORD=\$|&$(random_hex 12)|" \
    .env.example >.env
echo "Wrote .env. Put your Kombo API key in it (KOMBO_API_KEY), then: docker compose up --detach"
