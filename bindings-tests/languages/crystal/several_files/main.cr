require "./util"
puts WORD
