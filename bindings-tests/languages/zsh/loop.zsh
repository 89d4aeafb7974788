print started
while :; do :; done
