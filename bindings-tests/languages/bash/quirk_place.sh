tput cols >/dev/null && [ "$(date +%Z) $(TZ=Asia/Tokyo date -d @0 +%H)" = "UTC 09" ] && echo quirk
