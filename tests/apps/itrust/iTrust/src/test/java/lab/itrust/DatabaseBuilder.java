package lab.itrust;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;

/** Drops every table of the developer's own database and makes it anew: part of each build that is not told to skip it. */
public final class DatabaseBuilder {
    private DatabaseBuilder() {
    }

    public static void main(String[] words) throws IOException, SQLException {
        try (Connection connection = DriverManager.getConnection("jdbc:mysql://localhost:3306/itrust", "root", "");
                Statement told = connection.createStatement()) {
            run(told, Paths.get("sql/dropTables.sql"));
            for (String name : Files.readAllLines(Paths.get("sql/MANIFEST"))) {
                run(told, Paths.get("sql", name));
            }
        }
    }

    private static void run(Statement told, Path file) throws IOException, SQLException {
        String text = new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
        for (String order : text.split(";\\s*(\n|$)")) {
            if (!order.trim().isEmpty()) {
                told.execute(order);
            }
        }
    }
}
