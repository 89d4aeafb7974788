program main;
uses words;
begin
  say;
end.
