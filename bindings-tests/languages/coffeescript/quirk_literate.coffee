A program in a text
===================

It says one word.

    say = (word) ->
      console.log word

* And this is where it does.

    say 'quirk'
