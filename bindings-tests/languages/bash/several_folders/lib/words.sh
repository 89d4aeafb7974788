first() { bash "$here/lib/first.sh"; }
