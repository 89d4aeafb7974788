here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/lib/words.sh"
source ./last.sh
echo "$(first)$(cat "$(dirname "$0")/middle.txt")$last"
