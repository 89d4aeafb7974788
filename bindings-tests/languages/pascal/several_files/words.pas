unit words;
interface
procedure say;
implementation
procedure say;
begin
  writeln('several');
end;
end.
