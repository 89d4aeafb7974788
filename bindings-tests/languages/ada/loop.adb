with Ada.Text_IO; use Ada.Text_IO;

procedure Loops is
begin
   Put_Line ("started");
   Flush;
   loop
      null;
   end loop;
end Loops;
