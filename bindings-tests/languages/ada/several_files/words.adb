with Ada.Text_IO;
package body Words is
   procedure Say is
   begin
      Ada.Text_IO.Put_Line ("several");
   end Say;
end Words;
