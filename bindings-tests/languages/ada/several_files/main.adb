with Words;
procedure Main is
begin
   Words.Say;
end Main;
