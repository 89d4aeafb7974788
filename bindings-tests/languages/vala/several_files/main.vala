void main () { say (); }
