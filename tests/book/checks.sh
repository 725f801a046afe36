# What is true after the blocks of a heading of docs/operations.md. Sourced by the script that types.
PASSWORD="four quiet herons at dawn"
SITE=https://example.org

# Debian starts services that are installed, if it runs. An authority makes the certificate of the site, and a mail server takes mails.
check_packages_user_and_directories() {
  service postgresql start
  service nginx start
  local folder=/etc/letsencrypt/live/example.org
  mkdir --parents "$folder"
  openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj "/CN=An authority of this test" \
    -keyout /root/ca.key -out /usr/local/share/ca-certificates/book.crt 2>/dev/null
  openssl req -newkey rsa:2048 -nodes -subj "/CN=example.org" -keyout "$folder/privkey.pem" 2>/dev/null \
    | openssl x509 -req -days 90 -CA /usr/local/share/ca-certificates/book.crt -CAkey /root/ca.key -CAcreateserial \
      -extfile <(echo "subjectAltName=DNS:example.org") -out "$folder/fullchain.pem" 2>/dev/null
  update-ca-certificates >/dev/null 2>&1
  python3 -Wignore -m smtpd --nosetuid --class DebuggingServer 127.0.0.1:25 > /root/mails 2>&1 &
}

check_keys_and_settings() {
  expect "600 root:root" stat --format '%a %U:%G' /etc/guestlist/environment
  expect "600 root:root" stat --format '%a %U:%G' /etc/guestlist/owner
  expect "640 root:guestlist" stat --format '%a %U:%G' /etc/guestlist/keys.json
}

check_try_it() {
  systemctl reload guestlist
  sign_in
  expect 200 status "$SITE/api/v1/me" --header "Authorization: Bearer $token"
  add_passkey
  expect 404 status "$SITE/metrics"
  expect 403 status "http://example.org/api/v1/me"
  expect 301 status "http://example.org/login"
  expect 413 status "$SITE/api/v1/login" --data-binary @/usr/bin/python3
  python3 /root/book/proxy.py
  if grep "secret-of-the" /var/log/nginx/guestlist.log; then return 1; fi
  echo "== A sign-in over TLS (after $SECONDS s)" >&3
}

check_backup() {
  local file
  for file in /var/backups/guestlist/*; do
    expect "600 guestlist:guestlist" stat --format '%a %U:%G' "$file"
  done
}

check_restore() {
  expect 200 status "$SITE/login"
}

check_upgrade() {
  expect /srv/guestlist/releases/1.1 readlink /srv/guestlist/current
  sign_in
}

check_roll_back() {
  expect /srv/guestlist/releases/1.0 readlink /srv/guestlist/current
  expect 200 status "$SITE/api/v1/me" --header "Authorization: Bearer $token"
}

check_remove() {
  expect "" find /srv /etc /var/lib /var/backups /usr/local/sbin /var/log/nginx -name '*guestlist*'
  ! id guestlist 2>/dev/null
}

# As an operator does in a browser, with the link that `create_admin` printed.
add_passkey() {
  local python=/srv/guestlist/current/venv/bin/python
  $python /root/book/passkey.py "$(grep --only-matching "$SITE/account/passkeys/first/.*" /root/book/log)" "$PASSWORD"
  guestlist doctor | grep "staff passkeys: All of staff have one."
}

sign_in() {
  token=$(curl --fail-with-body --silent --show-error "$SITE/api/v1/login" --header "Content-Type: application/json" \
    --data "{\"username\": \"root\", \"password\": \"$PASSWORD\"}" | sed 's/.*"access_token": *"\([^"]*\)".*/\1/')
}

status() {
  curl --silent --output /dev/null --write-out '%{http_code}' "$@"
}

expect() {
  local wanted=$1 got
  shift
  got=$("$@")
  [ "$got" = "$wanted" ] || { echo "$*: $got, not $wanted" >&2; return 1; }
}
