require_relative "lib/words"
$LOAD_PATH.unshift(File.join(__dir__, "lib"))
require "deep/last"
puts Words.first + File.read(File.expand_path("middle.txt", File.dirname(__FILE__))).strip + LAST if $0 == __FILE__
