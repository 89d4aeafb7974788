with Ada.Text_IO; use Ada.Text_IO;

procedure Hello is
begin
   Put_Line ("hello from ada");
end Hello;
