println 'started'
System.out.flush()
while (true) { }
