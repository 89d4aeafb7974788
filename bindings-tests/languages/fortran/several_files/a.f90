module outer
  use inner
contains
  subroutine say()
    print "(a)", word
  end subroutine
end module
