require_relative "util"
puts WORD
