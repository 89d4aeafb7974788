package Words is
   procedure Say;
end Words;
