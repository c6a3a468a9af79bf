#!/bin/sh
# Prints a token for a user, for cron jobs and CGI programs; needs openssl.
#
#   TOKEN_KEY=token.key ./token.sh ada
set -eu
user=$1
# A star in a grant is a pattern, and a quote would end the JSON text.
case $user in
  '' | *[!A-Za-z0-9_-]*) echo 'the name of the user cannot be in a grant' >&2; exit 2 ;;
esac
# The secret is the content of the file without the line end. While openssl runs, other users of this
# machine can see its arguments; there use `megacomet-ts token`, which reads the file itself.
secret=$(cat "${TOKEN_KEY:-token.key}")
now=$(date +%s)

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

header='{"alg":"HS256","typ":"JWT"}'
grants=$(printf '{"subscribe":["news/*","user/%s"],"publish":["user/%s"]}' "$user" "$user")
claims=$(printf '{"sub":"%s","iat":%d,"exp":%d,"grants":%s}' \
  "$user" "$now" "$((now + ${TTL:-600}))" "$grants")
signed=$(printf %s "$header" | base64url).$(printf %s "$claims" | base64url)
signature=$(printf %s "$signed" | openssl dgst -sha256 -hmac "$secret" -binary | base64url)
printf '%s.%s\n' "$signed" "$signature"
