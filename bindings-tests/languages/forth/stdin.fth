: upper ( addr u -- ) bounds ?do i c@ toupper emit loop ;
: copy begin pad 80 stdin read-line throw while pad swap upper cr repeat drop ;
copy
