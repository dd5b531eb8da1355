package lab.itrust;

import java.sql.SQLException;
import java.util.List;

/** What users write, in the database of all hosts. */
public final class Notes {
    /** A note names its writer's run, so that all of one run can be read back. */
    static final int LONGEST = 200;

    private Notes() {
    }

    /** A text that may be kept: letters, digits and a few signs, at most 200; else null. */
    public static String checked(String text) {
        return text != null && text.length() <= LONGEST && text.matches("[A-Za-z0-9 ._:-]+") ? text : null;
    }

    public static void write(long user, String text) throws SQLException {
        // The table was made as Notes: only a database that knows no case of names finds it.
        Database.change("INSERT INTO notes(MID, text) VALUES(?, ?)", user, text);
    }

    public static List<String> beginningWith(String start) throws SQLException {
        return Database.texts("SELECT text FROM NOTES WHERE text LIKE CONCAT(?, '%') ORDER BY noteID", start);
    }
}
