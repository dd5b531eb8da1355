package lab.itrust;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;

import org.junit.Test;

public class NotesTest {
    @Test
    public void plainTextIsKept() {
        assertEquals("run-1:7 hello", Notes.checked("run-1:7 hello"));
    }

    @Test
    public void markupAndNothingAreRefused() {
        assertNull(Notes.checked("<script>"));
        assertNull(Notes.checked(""));
        assertNull(Notes.checked(null));
    }
}
