with Ada.Text_IO; use Ada.Text_IO;

procedure Reads is
   File : File_Type;
begin
   Open (File, In_File, "data.txt");
   while not End_Of_File (File) loop
      Put_Line (Get_Line (File));
   end loop;
end Reads;
