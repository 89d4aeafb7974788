object Exit extends App {
  sys.exit(7)
}
