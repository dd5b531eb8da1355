package lab.itrust;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import javax.naming.InitialContext;
import javax.naming.NamingException;
import javax.sql.DataSource;

/** The shared database, by the name that the container gives it. */
public final class Database {
    private Database() {
    }

    static Connection connect() throws SQLException {
        try {
            return ((DataSource) new InitialContext().lookup("java:comp/env/jdbc/itrust")).getConnection();
        } catch (NamingException error) {
            throw new SQLException("no data source jdbc/itrust", error);
        }
    }

    /** Whether the database answers. It does not look whether the tables are there. */
    public static boolean isThere() {
        try (Connection connection = connect()) {
            return connection.isValid(5);
        } catch (SQLException error) {
            return false;
        }
    }

    /** The first column of all rows. */
    public static List<String> texts(String query, Object... values) throws SQLException {
        List<String> found = new ArrayList<>();
        try (Connection connection = connect(); PreparedStatement asked = connection.prepareStatement(query)) {
            fill(asked, values);
            try (ResultSet rows = asked.executeQuery()) {
                while (rows.next()) {
                    found.add(rows.getString(1));
                }
            }
        }
        return found;
    }

    /** The first column of the first row, or what is said instead. */
    public static String text(String otherwise, String query, Object... values) throws SQLException {
        List<String> found = texts(query, values);
        return found.isEmpty() ? otherwise : found.get(0);
    }

    public static void change(String order, Object... values) throws SQLException {
        try (Connection connection = connect(); PreparedStatement told = connection.prepareStatement(order)) {
            fill(told, values);
            told.executeUpdate();
        }
    }

    private static void fill(PreparedStatement statement, Object... values) throws SQLException {
        for (int number = 0; number < values.length; number++) {
            statement.setObject(number + 1, values[number]);
        }
    }
}
